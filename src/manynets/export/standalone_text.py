"""The part of standalone.py for text of many words, which only the modules of models with such columns have."""

import re

import numpy as np

from manynets.export.standalone import ENCODERS, is_missing, label_of

# ------------------------------------------------------------------------------------------------------------------ text of many words

TOKEN = re.compile(r"\b\w+\b")


def words(column, cells):
    """Count the words of each cell, with a sign, in columns chosen by their hashes, and scale each row to length 1; 1 where there is no text."""
    width, out, hashes = column["width"], np.zeros((len(cells), column["width"] + column["gaps"])), {}
    for row, cell in enumerate(cells):
        text = "" if is_missing(cell) else label_of(cell)
        for word in TOKEN.findall(text.lower()):
            if word not in hashes:
                hashes[word] = murmur(word.encode())
            out[row, abs(hashes[word]) % width] += 1.0 if hashes[word] >= 0 else -1.0
        length = np.linalg.norm(out[row, :width])
        if length:
            out[row, :width] /= length
        if column["gaps"]:
            out[row, width] = not text
    return out


def murmur(data):
    """Return the hash of some bytes, a number from -2^31 to 2^31 - 1: MurmurHash3 for 32 bits with the seed 0, by Austin Appleby."""

    def turned(number, bits):
        return (number << bits | number >> (32 - bits)) & 0xFFFFFFFF

    def mixed(block):
        return turned(block * 0xCC9E2D51 & 0xFFFFFFFF, 15) * 0x1B873593 & 0xFFFFFFFF

    number, whole = 0, len(data) // 4 * 4
    for at in range(0, whole, 4):
        number = turned(number ^ mixed(int.from_bytes(data[at : at + 4], "little")), 13) * 5 + 0xE6546B64 & 0xFFFFFFFF
    number ^= mixed(int.from_bytes(data[whole:], "little")) ^ len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        number = (number ^ number >> shift) * factor & 0xFFFFFFFF
    return number - (1 << 32) if number >> 31 else number


ENCODERS["text"] = words
