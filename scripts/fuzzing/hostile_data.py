"""Calibration data and inputs with bad intentions. Each writes one file (or folder) and returns its name."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from scripts.fuzzing.byte_mutations import BYTE_MUTATIONS

HostileData = Callable[[Path, bytes, random.Random], str]


def _npy(header: str, content: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + content


def _zip(entries: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


def damaged(folder: Path, sound: bytes, chance: random.Random) -> str:
    """Bytes of a sound file changed."""
    (folder / "data.npz").write_bytes(chance.choice(BYTE_MUTATIONS)(sound, chance))
    return "data.npz"


def header(folder: Path, sound: bytes, chance: random.Random) -> str:
    """An array whose header promises something else."""
    shape = chance.choice(["(8, 1, 28, 28)", "(1099511627776,)", "(2, 3, 99999, 99999)", "(-1, 4)", "(0, 0)", "()"])
    shape = chance.choice([shape, "(" * 150 + ")" * 150, "(1,) * 10**9", "('a',)", "(1.5,)", "(True, 2)"])
    dtype = chance.choice(["'<f4'", "'|O'", "'<U1000000'", "'|V4'", "[('a', '<f4')]", "'<f8'", "'M8[ns]'", "'x'", "3"])
    text = f"{{'descr': {dtype}, 'fortran_order': {chance.choice(['False', 'True', '1'])}, 'shape': {shape}, }}"
    array = _npy(text, bytes(100), chance.choice([b"\x01\x00"] * 4 + [b"\x02\x00", b"\x09\x00"]))
    name = chance.choice(["data.npy", "data.npz"])
    (folder / name).write_bytes(array if name == "data.npy" else _zip({"x.npy": array}))
    return name


def zip_bomb(folder: Path, sound: bytes, chance: random.Random) -> str:
    """A small file that unpacks to gigabytes, honestly or not."""
    size = chance.choice([1 << 20, 1 << 31, 1 << 33])
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = bytes(1 << 20)
    text = _npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({size // 4 // 784}, 1, 28, 28), }}")
    content = compressor.compress(text) + compressor.compress(block * 8)
    repeated = compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)  # blocks behind a full flush can be repeated as they are
    one = compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)
    packed = content + repeated + one * min(size >> 20, 4096) + zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    stated = min(chance.choice([size, 100]), (1 << 32) - 2)
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 8, 0, 0, 0, len(packed), stated, 9, 0) + b"input.npy"
    central = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, 0, len(packed), stated, 9, 0, 0, 0, 0, 0, 0)
    central += b"input.npy"
    start = len(local) + len(packed)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, len(central), start, 0)
    (folder / "data.npz").write_bytes(local + packed + central + end)
    return "data.npz"


def odd_zip(folder: Path, sound: bytes, chance: random.Random) -> str:
    """Entries with odd names, numbers, kinds."""
    array = io.BytesIO()
    np.save(array, np.full((2, 1, 28, 28), chance.choice([np.nan, np.inf, 1e38, 0]), np.float32))
    entries = chance.choice(
        [
            {},
            {"../../x.npy": array.getvalue()},
            {f"{i}.npy": b"" for i in range(3000)},
            {"x": b"text"},
            {"input.npy": array.getvalue()},
            {"input.npy": b""},
            {"\x1b[31m\n.npy": array.getvalue()},
            {"n" * 60_000 + ".npy": array.getvalue()},
        ]
    )
    kind = chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    data = bytearray(_zip(entries, kind))
    if entries and chance.random() < 0.3:
        data[6] |= 1  # says that it is encrypted
        data[data.rindex(b"PK\x01\x02") + 8] |= 1
    (folder / "data.npz").write_bytes(data)
    return "data.npz"


def pictures(folder: Path, sound: bytes, chance: random.Random) -> str:
    """A folder of images that are none, or unpack to gigabytes."""
    (folder / "data").mkdir()
    side = chance.choice([4, 30_000, 2**31 - 1])
    head = struct.pack(">2I5B", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 20), 9) if side > 4 else zlib.compress(bytes(2 * side))
    chunks = [(b"IHDR", head), (b"IDAT", rows), (b"IEND", b"")]
    packed = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks]
    image = b"\x89PNG\r\n\x1a\n" + b"".join(packed)
    image = chance.choice([image, image[:-20], b"", b"GIF89a", b"\xff\xd8\xff\xe0"])
    (folder / "data" / chance.choice(["a.png", "a.jpg", "a.txt", "a\x1b.png"])).write_bytes(image)
    return "data"


HOSTILE_DATA: tuple[HostileData, ...] = (
    damaged,
    damaged,
    damaged,
    header,
    header,
    zip_bomb,
    odd_zip,
    odd_zip,
    pictures,
)
