def reverse(text):
    return text[::-1]


def is_palindrome(text):
    return text == text[::-1]


def count_vowels(text):
    return sum(1 for letter in text.lower() if letter in "aeiou")


def count_words(text):
    return len(text.split())


def word_counts(text):
    counts = {}
    for word in text.split():
        counts[word] = counts.get(word, 0) + 1
    return counts


def is_anagram(a, b):
    return sorted(a) == sorted(b)


def capitalize_words(text):
    return " ".join(word.capitalize() for word in text.split())


def hello(name):
    return "Hello, " + name + "!"


def read_lines(path):
    with open(path) as file:
        return file.read().splitlines()


def read_text(path):
    with open(path) as file:
        return file.read()


def write_text(path, text):
    with open(path, "w") as file:
        file.write(text)


def caesar(text, shift):
    result = ""
    for letter in text:
        if letter.isalpha():
            start = ord("a") if letter.islower() else ord("A")
            result += chr((ord(letter) - start + shift) % 26 + start)
        else:
            result += letter
    return result
