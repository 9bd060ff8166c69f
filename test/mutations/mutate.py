"""Random damage: of the bytes of a file, of the structure of an HDF5 file, of a text."""

import shutil

import h5py
import numpy as np

EXTREMES = (0, 1, -1, 127, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1, -(2**63))
STRANGE = (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e30, 1e-45, 3.4e38, 1e308, 0.5)
WORDS = (
    *("null", "[]", "{}", "-1", "1e400", ".nan", "'x'", "[1, [2, {a: b}]]", "{a: {b: c}}", "true", "2026-11-26", "*x"),
    *("!!python/name:os.system", "&x [*x]", "&x 1", "0x7fffffffffffffffffff", "9" * 400, "\t", "/dev/null", "../.."),
    *("[" * 300, "? [a]", "!!timestamp 1", "\\ud800", '"\\0"', "1:2:3", "a" * 5000),
)
VALUES = (
    *(None, 5, -1, 2.5, np.nan, "", "x", "{", '{"a": 1}', '{"MIP": {"seed": "x"}}', "[1, 2]", "[" * 3000, [1, 2]),
    *(["a", "b"], np.zeros((2, 2)), b"\xff\xfe", True, h5py.Empty("f4"), "a: &a [*a]", 2**63 - 1, "model: 1"),
)


def damage(source, target, seed):
    """Write a damaged copy of a file; the same seed gives the same damage."""
    rng = np.random.default_rng(seed)
    if source.suffix == ".csv":
        target.write_bytes(damaged_table(source.read_text(), rng))
    elif source.suffix in (".cfg", ".yaml"):
        target.write_bytes(damaged_text(source.read_text(), rng))
    elif source.suffix == ".h5" and rng.random() < 0.7:
        shutil.copy(source, target)
        for _ in range(int(rng.integers(1, 3))):
            with h5py.File(target, "a") as file:
                damage_structure(file, rng)
    elif source.suffix == ".ckpt" and rng.random() < 0.7:
        damage_checkpoint(source, target, rng)
    else:
        target.write_bytes(damaged_bytes(source.read_bytes(), rng))


def damaged_bytes(content, rng):
    """One bit, many bits, the first bytes, the end cut off, a part overwritten, copied elsewhere or left out."""
    data, size = bytearray(content), len(content)
    first = int(rng.integers(size))
    count = min(int(rng.integers(1, 3000)), size - first)
    match int(rng.integers(8)):
        case 0:
            data[first] ^= 1 << rng.integers(8)
        case 1:
            for place in rng.integers(size, size=1 + size // 4000):
                data[place] ^= 1 << rng.integers(8)
        case 2:
            for place in rng.integers(min(size, 4096), size=3):
                data[place] = rng.integers(256)
        case 3:
            return bytes(data[:first])
        case 4:
            data[first : first + count] = rng.bytes(count)
        case 5:
            data[first : first + count] = bytes(count)
        case 6:
            other = int(rng.integers(size - count + 1))
            data[first : first + count] = data[other : other + count]
        case 7:
            del data[first : first + count]
    return bytes(data)


def damaged_text(text, rng):
    """Lines left out, doubled, moved, indented otherwise, and words that stand for others."""
    if rng.random() < 0.3:
        return damaged_bytes(text.encode(), rng)
    lines = text.splitlines() or [""]
    for _ in range(int(rng.integers(1, 4))):
        row = int(rng.integers(len(lines)))
        key, colon, _ = lines[row].partition(":")
        match int(rng.integers(6)):
            case 0:
                del lines[row]
            case 1:
                lines.insert(int(rng.integers(len(lines))), lines[row])
            case 2:
                lines[row] = f"{' ' * int(rng.integers(6))}{lines[row]}"
            case 3:
                lines.insert(row, f"{key.partition('#')[0]}{colon or ':'} {rng.choice(WORDS)}")
            case _:
                lines[row] = f"{key}{colon or ':'} {rng.choice(WORDS)}"
        lines = lines or [""]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def damaged_table(text, rng):
    """Cells left out, added and replaced by words, among them in the first row."""
    if rng.random() < 0.3:
        return damaged_bytes(text.encode(), rng)
    rows = [line.split(",") for line in text.splitlines()]
    for _ in range(int(rng.integers(1, 4))):
        row = rows[int(rng.integers(len(rows)) if rng.random() < 0.7 else 0)]
        place = int(rng.integers(len(row)))
        match int(rng.integers(4)):
            case 0 if len(row) > 1:
                del row[place]
            case 1:
                row.insert(place, str(rng.choice(WORDS)))
            case _:
                row[place] = str(rng.choice((*WORDS, "nan", "-inf", "1e308", "1e-320", "", '"', "1_0", "0x1", "1 2")))
    return "\n".join(",".join(row) for row in rows).encode("utf-8", "surrogatepass")


def damage_checkpoint(source, target, rng):
    """Change, remove or add values of a checkpoint, and write it as torch does."""
    import torch

    content = torch.load(source, weights_only=True)
    for _ in range(int(rng.integers(1, 3))):
        place = content
        while True:
            keys = list(place) if isinstance(place, dict) else range(len(place))
            key = keys[int(rng.integers(len(keys)))]
            deeper = isinstance(place[key], dict | list) and len(place[key]) > 0
            if not deeper or rng.random() < 0.2:
                break
            place = place[key]
        choice = rng.random()
        if choice < 0.2:
            del place[key]
        elif choice < 0.3 and isinstance(place, dict):
            place[("new", 7, -1)[int(rng.integers(3))]] = place[key]
        elif isinstance(place[key], str) and choice < 0.6:
            changed = damaged_text(place[key], rng) if rng.random() < 0.5 else damaged_bytes(place[key].encode(), rng)
            place[key] = changed.decode("utf-8", "replace")
        elif isinstance(place[key], torch.Tensor) and choice < 0.8:
            place[key] = changed_tensor(place[key], rng)
        else:
            strange = (*STRANGE, None, "x", [], {}, [1, [2]], {"a": 1}, True, 2**70, -1, torch.ones(2), "1e400", (1,))
            place[key] = strange[int(rng.integers(len(strange)))]
    torch.save(content, target)


def changed_tensor(tensor, rng):
    """Return a tensor of another kind, shape or with a strange number."""
    import torch

    match int(rng.integers(6)):
        case 0:
            kinds = (torch.int64, torch.float16, torch.float64, torch.complex64, torch.bool)
            return tensor.to(kinds[int(rng.integers(len(kinds)))])
        case 1:
            return tensor.reshape(-1)[: int(rng.integers(tensor.numel() + 1))].clone()
        case 2:
            return tensor.float().to_sparse() if tensor.dim() else tensor[None]
        case 3:
            return tensor.to("meta")
        case 4:
            return tensor.new_zeros(()).expand(1 << 40)
    strange = tensor.clone().reshape(-1)
    if len(strange) and strange.is_floating_point():
        strange[int(rng.integers(len(strange)))] = STRANGE[int(rng.integers(len(STRANGE)))]
    return strange.reshape(tensor.shape)


def damage_structure(file, rng):
    """Change one table, group or attribute into what it should not be."""
    names = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    attributes = [(name, key) for name in ["/", *file] for key in file[name].attrs]
    if attributes and (not names or rng.random() < 0.3):
        name, key = attributes[int(rng.integers(len(attributes)))]
        damage_attribute(file[name].attrs, key, rng)
    elif names:
        damage_table(file, names[int(rng.integers(len(names)))], rng)


def damage_attribute(attributes, key, rng):
    """Give an attribute another type or a text that means nothing, or remove it."""
    value = VALUES[int(rng.integers(len(VALUES)))]
    if value is None:
        del attributes[key]
    else:
        attributes[key] = value


def damage_table(file, name, rng):
    """Change values, type, shape or kind of a table, or remove it."""
    table = file[name]
    if table.shape is None or table.size > 1 << 24:  # emptied or made huge by the damage before
        del file[name]
        return
    rows, kind = np.asarray(table[()]), table.dtype
    options = {"chunks": table.chunks, "maxshape": table.maxshape} if table.chunks and table.ndim else {}
    choice = int(rng.integers(12))
    if choice < 5 and rows.size and kind.kind != "O":
        table[...] = changed_values(rows, rng)
        return
    del file[name]
    if choice == 5:
        file.create_group(name)
    elif choice == 6:
        file[name] = str(rng.choice(["text", "x" * 3000]))
    elif choice == 7:
        file[name] = h5py.Empty(kind if kind.kind != "O" else "f4")
    elif choice == 8 and rows.ndim:
        keep = int(rng.integers(len(rows) + 1))
        file.create_dataset(name, data=rows[:keep], dtype=kind)
    elif choice == 9 and rows.ndim and rows.size:
        file.create_dataset(name, data=np.concatenate([rows, rows[: int(rng.integers(1, len(rows) + 1))]]), dtype=kind)
    elif choice == 10:
        length = int(rng.choice([10**6, 2**32, 2**40]))
        file.create_dataset(name, (length, *rows.shape[1:]), kind, chunks=options.get("chunks"))
    elif choice == 11 and kind.names and len(kind.names) > 1:
        dropped = rng.choice(kind.names)
        if kind.kind == "V" and not any(kind[n].kind == "O" for n in kind.names):
            file[name] = rows[[n for n in kind.names if n != dropped]].copy()
    elif kind.kind in "iuf" and rows.ndim:
        other = rng.choice(["i1", "i8", "u8", "f4", "f8", ">i4", "S4"])
        with np.errstate(all="ignore"):
            file[name] = rows.astype(other) if rng.random() < 0.7 else rows.reshape(-1)


def changed_values(rows, rng):
    """Return rows with some numbers replaced by extreme or strange ones, moved or negated."""
    rows = rows.copy()
    field = rows
    while field.dtype.names:
        field = field[str(rng.choice(field.dtype.names))]
    flat = field.reshape(-1) if field.flags.c_contiguous else field
    index = int(rng.integers(len(flat))) if flat.ndim else ()
    if flat.dtype.kind in "iu":
        limits = np.iinfo(flat.dtype)
        fitting = [number for number in EXTREMES if limits.min <= number <= limits.max]
        value = fitting[int(rng.integers(len(fitting)))]
    elif flat.dtype.kind == "f":
        value = STRANGE[int(rng.integers(len(STRANGE)))]
    else:
        value = rng.bytes(3)
    with np.errstate(all="ignore"):
        if rng.random() < 0.7:
            flat[index] = value
        else:
            flat[...] = value
    return rows
