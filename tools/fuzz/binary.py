"""Damage to binary files: to bytes of any format, and such that a format's checksums and lengths stay right."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random

from .texts import NAMES, damaged_value, json_text, numbers, words, yaml_text

Damage = Callable[[bytes, Random], bytes]  # may raise when the data is damaged already

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**63, 2**64 - 1)
FILLERS = (b"\0", b"\xff", b"\xc3\x28", b"\n", b" ", b"9")


def damaged_bytes(data: bytes, random: Random) -> bytes:
    """Bits flipped, numbers made extreme, parts cut out, repeated, put elsewhere or replaced."""
    size, result = len(data), bytearray(data)
    at, start = random.randrange(size + 1), random.randrange(size + 1)
    match random.randrange(8):
        case 0:
            del result[at:]
        case 1:
            for _ in range(random.choice((1, 1, 4, 32)) if size else 0):
                result[random.randrange(size)] ^= 1 << random.randrange(8)
        case 2:
            width = random.choice((1, 2, 4, 8))
            value = random.choice(EXTREMES) % (1 << 8 * width)
            result[at : at + width] = value.to_bytes(width, random.choice(("little", "big")))
        case 3:
            del result[at : at + random.choice((1, 4, 64))]
        case 4:
            result[at:at] = result[start : start + random.choice((1, 8, 256))]
        case 5:
            result[at : at + random.choice((0, 1, 16))] = random.choice(FILLERS) * random.choice((1, 8, 400))
        case 6:
            result += random.choice((b"\0", b"x", data[:64])) * random.choice((1, 1000))
        case _:
            length = random.choice((1, 8, 64))
            result[at : at + length] = result[start : start + length]
    return bytes(result)


def safetensors(data: bytes, random: Random) -> bytes:
    """Header or tensors changed; the header's length then tells the truth, but for once in eight."""
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), bytearray(data[8 + length :])
    facts, names = header.get("__metadata__", {}).get("hypernerf"), [name for name in header if name != "__metadata__"]
    kind = random.random()
    if facts is not None and kind < 0.5:
        header["__metadata__"]["hypernerf"] = json_text(facts.encode(), random).decode("utf-8", "surrogatepass")
    elif kind < 0.7:
        header = damaged_value(header, random)
    elif kind < 0.8:
        kinds = ("F64", "F32", "F16", "BF16", "I64", "I32", "U8", "BOOL", "F8_E4M3", "F8_E8M0", "F4", "C64", "U64", "?")
        header[random.choice(names)]["dtype"] = random.choice(kinds)
    elif kind < 0.9:
        at = random.randrange(max(len(body) - 8, 1)) & ~3
        body[at : at + 8] = random.choice((b"\xff\xff\xff\xff", b"\x00\x00\x80\x7f", b"\x00\x7c\x00\x7c")) * 2
        body = body[: len(data) - 8 - length]
    else:
        header[random.choice(("x", "generator.x", ""))] = {"dtype": "F32", "shape": [0, 10**12], "data_offsets": [0, 0]}
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    claimed = random.choice((0, 1, len(text) - 1, 10**8, 2**63, 2**64 - 1)) if random.random() < 0.125 else len(text)
    return claimed.to_bytes(8, "little") + text + bytes(body)


def archive(data: bytes, random: Random) -> bytes:
    """A zip archive, as torch.save writes: an entry changed, renamed, left out, doubled or packed."""
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        entries = [(info.filename, old.read(info)) for info in old.infolist()]
    at = random.randrange(len(entries))
    if random.random() < 0.5:  # the pickle is what tells torch what to build
        at = next((i for i, entry in enumerate(entries) if entry[0].endswith("data.pkl")), at)
    name, content = entries[at]
    kind = random.randrange(6)
    if kind < 3:
        entries[at] = (name, damaged_bytes(content, random))
    elif kind == 3:
        entries[at] = (random.choice(NAMES[:9]) or "x", content)
    elif kind == 4:
        entries[at : at + 1] = random.choice(([], [(name, content), (name.upper(), content)]))
    else:
        entries[at] = (name, bytes(random.choice((10**4, 10**7))))
    packed = zipfile.ZIP_DEFLATED if random.random() < 0.3 or kind == 5 else zipfile.ZIP_STORED
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w", packed) as new:
        for entry, content in entries:
            new.writestr(entry, content)
    return result.getvalue()


def png(data: bytes, random: Random) -> bytes:
    """Chunks changed, left out, doubled or renamed, checksums right; sizes that lie; texts that unpack to a bomb."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    which = random.randrange(len(chunks))
    name, content = chunks[which]
    match random.randrange(7):
        case 0 | 1:
            header, place = bytearray(chunks[0][1]), random.choice((0, 4, 0, 4, 8, 9, 10, 11, 12))
            size = random.choice((0, 1, 3, 9, 300, 7999, 65535, 10**6, 2**31 - 1, 2**32 - 1))
            new = struct.pack(">I", size) if place < 8 else bytes([random.randrange(256)])
            header[place : place + len(new)] = new
            chunks[0] = (chunks[0][0], bytes(header))
        case 2:
            chunks[which] = (name, damaged_bytes(content, random))
        case 3:
            chunks.pop(which)
        case 4:
            chunks.insert(which, random.choice(chunks))
        case 5:
            bomb = zlib.compress(bytes(random.choice((10**4, 10**7))))
            kind = random.choice((b"zTXt", b"iTXt", b"iCCP", b"IDAT", b"fdAT", b"eXIf", b"acTL", b"fcTL", b"PLTE", b"tRNS"))
            chunks.insert(which, (kind, random.choice((b"k\0\0", b"k\0\1\0\0\0", b"")) + bomb))
        case _:
            chunks[which] = (bytes(random.choice(b"IDATENSplt") for _ in range(4)), content)
    body = b"".join(struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
    return data[:8] + body


def glb(data: bytes, random: Random) -> bytes:
    """The JSON of a binary glTF file changed, lengths right."""
    length = int.from_bytes(data[12:16], "little")
    text = json_text(data[20 : 20 + length], random)
    text += b" " * (-len(text) % 4)
    rest = data[20 + length :]
    return data[:8] + struct.pack("<III", 20 + len(text) + len(rest), len(text), 0x4E4F534A) + text + rest


def tar(data: bytes, random: Random) -> bytes:
    """A tar file: a member's contents, name, kind or length changed, or members left out, doubled or moved; checksums right."""
    members, at = [], 0
    while at + 512 <= len(data) and any(data[at : at + 512]):
        length = int(data[at + 124 : at + 135], 8)
        members.append((bytearray(data[at : at + 512]), data[at + 512 : at + 512 + length]))
        at += 512 + length + -length % 512
    which = random.randrange(len(members))
    header, content = members[which]
    match random.randrange(7):
        case 0 | 1 | 2:
            suffix = os.path.splitext(header[:100].split(b"\0")[0].decode())[1]
            content = random.choice((*BY_SUFFIX.get(suffix, ()), damaged_bytes))(content, random)
            header[124:136] = b"%011o\0" % len(content)
        case 3:
            header[:100] = random.choice(NAMES).encode("utf-8", "surrogatepass")[:100].ljust(100, b"\0")
        case 4:
            header[156] = random.choice(b"\x001234567xgLKSVDX")
        case 5:
            size = random.choice((0, 1, len(content) + 1, 511, 512, 8**11 - 1, 10**6))
            header[124:136] = random.choice((b"%011o\0" % size, b"-0000000001\0", b"\x80" + bytes(10) + b"\x09", b"\xff" * 12))
        case _:
            members.insert(random.randrange(len(members)), random.choice(members))
            members.pop(random.randrange(len(members)))
    members[which % len(members)] = (header, content)
    return b"".join(_summed(header) + content + bytes(-len(content) % 512) for header, content in members) + bytes(1024)


def _summed(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


BY_SUFFIX: dict[str, tuple[Damage, ...]] = {
    ".json": (json_text, json_text, numbers), ".gltf": (json_text,), ".yaml": (yaml_text, yaml_text, numbers), ".txt": (numbers,),
    ".obj": (numbers, numbers, words), ".mtl": (numbers, words), ".ply": (numbers,), ".npy": (numbers,), ".npz": (archive,),
    ".safetensors": (safetensors,), ".pt": (archive,), ".png": (png,), ".glb": (glb,), ".tar": (tar, tar, tar),
}  # fmt: skip
