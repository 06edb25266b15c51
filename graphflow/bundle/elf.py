"""Reading ELF objects: the symbols they leave undefined, and which function needs them.

ELF-64: System V gABI chapter 4 (sections, symbol table, relocation).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_SYMTAB, _RELA = 2, 4
_FUNCTION = 2


@dataclass(frozen=True)
class Section:
    name_at: int
    kind: int
    offset: int
    size: int
    link: int
    info: int


@dataclass(frozen=True)
class Symbol:
    name: str
    kind: int
    section: int
    value: int
    size: int


class Elf:
    """The sections and symbols of a 64-bit little-endian ELF object."""

    def __init__(self, data: bytes) -> None:
        if data[:6] != b"\x7fELF\x02\x01":
            raise ValueError("not a 64-bit little-endian ELF object")
        self.data = data
        at, = struct.unpack_from("<Q", data, 0x28)
        size, count = struct.unpack_from("<HH", data, 0x3A)
        self.sections = [self._section(at + i * size) for i in range(count)]
        self.symbols: list[Symbol] = []
        for s in self.sections:
            if s.kind == _SYMTAB:
                self.symbols = [self._symbol(s.offset + i, self.sections[s.link]) for i in range(0, s.size, 24)]

    def _section(self, at: int) -> Section:
        name, kind, _, _, offset, size, link, info = struct.unpack_from("<IIQQQQII", self.data, at)
        return Section(name, kind, offset, size, link, info)

    def _symbol(self, at: int, names: Section) -> Symbol:
        name, info, _, section, value, size = struct.unpack_from("<IBBHQQ", self.data, at)
        start = names.offset + name
        return Symbol(self.data[start : self.data.index(b"\0", start)].decode(), info & 15, section, value, size)

    def undefined(self) -> dict[str, list[str]]:
        """Each undefined symbol, and the functions that refer to it."""
        found: dict[str, list[str]] = {s.name: [] for s in self.symbols if s.section == 0 and s.name}
        for target, symbol, offset in self._relocations():
            name = self.symbols[symbol].name
            if name in found:
                users = [s.name for s in self.symbols if s.kind == _FUNCTION and s.section == target and s.value <= offset < s.value + s.size]
                found[name] += [u for u in users if u not in found[name]]
        return found

    def _relocations(self) -> Iterator[tuple[int, int, int]]:
        """(section patched, symbol number, offset)."""
        for s in self.sections:
            if s.kind == _RELA:
                for i in range(0, s.size, 24):
                    offset, info, _ = struct.unpack_from("<QQq", self.data, s.offset + i)
                    yield s.info, info >> 32, offset
