def fib(n):
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)


def fibonacci(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def factorial(n):
    if n < 2:
        return 1
    return n * factorial(n - 1)


def gcd(a, b):
    while b:
        a, b = b, a % b
    return a


def lcm(a, b):
    x, y = a, b
    while y:
        x, y = y, x % y
    return a * b // x


def is_prime(n):
    if n < 2:
        return False
    i = 2
    while i * i <= n:
        if n % i == 0:
            return False
        i += 1
    return True


def primes(limit):
    found = []
    for n in range(2, limit + 1):
        if all(n % p for p in found):
            found.append(n)
    return found


def is_even(n):
    return n % 2 == 0


def is_odd(n):
    return n % 2 == 1


def power(base, exponent):
    result = 1
    for _ in range(exponent):
        result *= base
    return result


def square(x):
    return x * x


def cube(x):
    return x * x * x


def absolute(x):
    if x < 0:
        return -x
    return x


def digits(n):
    return [int(digit) for digit in str(n)]


def digit_sum(n):
    return sum(int(digit) for digit in str(n))


def collatz(n):
    steps = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


def clamp(x, low, high):
    return max(low, min(x, high))


def divisors(n):
    return [d for d in range(1, n + 1) if n % d == 0]
