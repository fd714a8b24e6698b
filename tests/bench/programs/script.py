# script.py: Python at work: numbers, strings, dictionaries, objects, sorting, regular expressions.

import re


class Account:
    def __init__(self, name):
        self.name, self.balance, self.history = name, 0, []

    def book(self, amount):
        self.balance += amount
        self.history.append(amount)


def sieve(limit):
    flags = bytearray([1]) * limit
    for i in range(2, int(limit ** 0.5) + 1):
        if flags[i]:
            flags[i * i::i] = bytes(len(range(i * i, limit, i)))
    return sum(flags) - 2


def count_words(path):
    counts = {}
    with open(path) as file:
        for line in file:
            for word in line.split():
                counts[word] = counts.get(word, 0) + 1
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:20]


def book(rounds):
    accounts = {name: Account(name) for name in ('a', 'b', 'c', 'd', 'e')}
    x = 1
    for _ in range(rounds):
        x = (x * 1103515245 + 12345) & 0x7fffffff
        accounts['abcde'[x % 5]].book(x % 1000 - 500)
    return [(a.name, a.balance, max(a.history)) for a in accounts.values()]


def queens(n, row=0, columns=0, left=0, right=0):
    if row == n:
        return 1
    found, free = 0, ~(columns | left | right) & ((1 << n) - 1)
    while free:
        bit = free & -free
        free ^= bit
        found += queens(n, row + 1, columns | bit, (left | bit) << 1, (right | bit) >> 1)
    return found


with open('/data/text') as text:
    numbers = re.findall(r'\b0x([0-9a-f]+)\b', text.read(500000))
print(sieve(300000), queens(7), book(60000), sum(int(n, 16) for n in numbers))
print(count_words('/data/text'))
