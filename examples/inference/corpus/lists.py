def add(a, b):
    return a + b


def subtract(a, b):
    return a - b


def multiply(a, b):
    return a * b


def maximum(values):
    best = values[0]
    for value in values:
        if value > best:
            best = value
    return best


def minimum(values):
    best = values[0]
    for value in values:
        if value < best:
            best = value
    return best


def total(values):
    result = 0
    for value in values:
        result += value
    return result


def product(values):
    result = 1
    for value in values:
        result *= value
    return result


def mean(values):
    return sum(values) / len(values)


def average(numbers):
    return sum(numbers) / len(numbers)


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2 == 1:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def unique(items):
    seen = []
    for item in items:
        if item not in seen:
            seen.append(item)
    return seen


def flatten(lists):
    return [item for items in lists for item in items]


def chunks(items, size):
    return [items[i:i + size] for i in range(0, len(items), size)]


def linear_search(items, target):
    for i, item in enumerate(items):
        if item == target:
            return i
    return -1


def binary_search(items, target):
    low, high = 0, len(items) - 1
    while low <= high:
        middle = (low + high) // 2
        if items[middle] == target:
            return middle
        if items[middle] < target:
            low = middle + 1
        else:
            high = middle - 1
    return -1


def bubble_sort(items):
    items = list(items)
    for i in range(len(items)):
        for j in range(len(items) - 1 - i):
            if items[j] > items[j + 1]:
                items[j], items[j + 1] = items[j + 1], items[j]
    return items


def quick_sort(items):
    if len(items) < 2:
        return items
    pivot = items[0]
    left = [x for x in items[1:] if x < pivot]
    right = [y for y in items[1:] if y >= pivot]
    return quick_sort(left) + [pivot] + quick_sort(right)


def transpose(matrix):
    return [list(row) for row in zip(*matrix)]


def dot_product(a, b):
    return sum(x * y for x, y in zip(a, b))
