"""Nested parameters in the notation of scikit-learn: ``penalty__lmbda``, ``layers__0__lmbda``."""

from dataclasses import fields, is_dataclass, replace


def parts_of(name, value):
    """Nested names and values of a parameter: fields of dataclasses, items of lists."""
    if isinstance(value, list | tuple):
        parts = {str(i): item for i, item in enumerate(value) if _has_parts(item)}
    elif _has_parts(value) and not hasattr(value, "get_params"):  # scikit-learn lists those itself
        parts = {f.name: getattr(value, f.name) for f in fields(value)}
    else:
        return {}
    found = {}
    for part, own in parts.items():
        inner = f"{name}__{part}"
        found[inner] = own
        found |= parts_of(inner, own)
        if hasattr(own, "get_params"):
            found |= {f"{inner}__{key}": item for key, item in own.get_params().items()}
    return found


def with_part(value, path, new, name):
    """The value of a parameter with one part changed; frozen objects are copied."""
    part, _, rest = path.partition("__")
    if isinstance(value, list | tuple) and part.isdigit() and int(part) < len(value):
        items = list(value)
        items[int(part)] = with_part(items[int(part)], rest, new, name) if rest else new
        return type(value)(items)
    if hasattr(value, "set_params"):
        return value.set_params(**{path: new})
    if not _has_parts(value) or part not in {f.name for f in fields(value)}:
        raise ValueError(f"{name} is {value!r}, which has no parameter {part!r}")
    return replace(
        value, **{part: with_part(getattr(value, part), rest, new, name) if rest else new}
    )


def _has_parts(value):
    return not isinstance(value, type) and (is_dataclass(value) or hasattr(value, "get_params"))
