"""Checks of the arguments of public functions, which are made once, where the arguments enter.

Every check raises a `SalignError` that says what was expected and what came. Kinds, shapes and choices are always
checked: this takes microseconds and waits for no device. Values (the class of a label, the sign of a map) are only
checked in main memory, because every training step would have to wait if values were read from an accelerator; data
pass through main memory on their way there. Nothing is checked while a graph is compiled, exported or traced, because
there are no values then.
"""

from __future__ import annotations

import functools
import math
import re
import sys
import weakref
from numbers import Integral, Number, Real
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard, get_args

from salign.errors import SalignError, one_of
from salign.limits import LONGEST_SIDE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

_HAVE_READ: weakref.WeakSet[Any] = weakref.WeakSet()
"""The networks whose first batch has been checked by `images`."""


def choice(name: str, value: object, known: Any) -> None:
    """Refuse a value that is not one of the known choices.

    Args:
        name: name of the argument.
        value: the value that was passed.
        known: the choices: a `Literal`, a table whose keys are the choices, or any collection of names.
    """
    one_of(value, get_args(known) or known, name)


def number(name: str, value: object, interval: str, *, whole: bool = False) -> None:
    """Refuse a value that is not a number or lies outside of an interval.

    Args:
        name: name of the argument.
        value: the value that was passed; a bool does not count as a number.
        interval: the interval as text, such as "[0, 1]" or "(0, inf)"; an end with a square bracket belongs to the
            interval, an end with a round bracket does not.
        whole: whether the value must be a whole number.
    """
    kind = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind) or not _interval(interval).holds(_as_float(value)):
        expected = f"a {'whole ' * whole}number {_interval(interval).words}"
        raise SalignError(f"{name}: expected {expected}, got {_shown(value)}.")


def numbers(name: str, value: object) -> NDArray[np.float64]:
    """Return numbers as a float64 array whose first axis has an entry for each image, run or value.

    Args:
        name: what the numbers are, for the message.
        value: the numbers: an array, a list, or a tensor in main memory.

    Raises:
        SalignError: these are not numbers, or it is a single number without an axis.
    """
    import numpy as np

    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SalignError(f"{name}: expected an array of numbers, got {_shown(value)}.") from error
    if not array.ndim:
        raise SalignError(f"{name}: expected an array (N, ...), got {_shown(value)}.")
    return array


def instance(name: str, value: object, expected: type | tuple[type, ...], words: str) -> None:
    """Refuse a value that is not an instance of the expected class.

    Args:
        name: name of the argument.
        value: the value that was passed.
        expected: the expected class, or a tuple of classes of which it may be any.
        words: what the message calls the expected value, such as "a function".
    """
    if not isinstance(value, expected):
        raise SalignError(f"{name}: expected {words}, got {_shown(value)}.")


def function(name: str, value: object) -> None:
    """Refuse a value that cannot be called."""
    if not callable(value):
        raise SalignError(f"{name}: expected a function or a module, got {_shown(value)}.")


def sides(name: str, value: object) -> tuple[int, int]:
    """Return the size of images as (H, W), given as a pair or as one number for a square.

    Args:
        name: name of the argument.
        value: the size that was passed.

    Raises:
        SalignError: it is neither a pair nor one number, or a side is not a whole number from 1 to `LONGEST_SIDE`.
    """
    pair = value if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2:
        raise SalignError(f"{name}: expected (H, W), or one number for a square, got {_shown(value)}.")
    for side in pair:
        number(name, side, f"[1, {LONGEST_SIDE}]", whole=True)
    return int(pair[0]), int(pair[1])


def device(name: str, value: object) -> None:
    """Refuse a device that this machine does not have.

    Args:
        name: name of the argument.
        value: a `torch.device`, or the name of a device, such as "cpu", "cuda", "cuda:1" or "mps".
    """
    import torch

    there = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    there += ["mps"] * torch.backends.mps.is_available()
    text = str(value)
    if text not in there and not (text == "cuda" and "cuda:0" in there):
        raise SalignError(f"{name}: expected a device that is here ({', '.join(there)}), got {text[:60]!r}.")


def tensors(**arguments: tuple[object, str]) -> None:
    """Check the kind and the shape of several tensors; a letter must stand for the same number in all of them.

    Args:
        arguments: name of an argument -> the value that was passed, and what was expected, such as
            "float (B, 3, H, W)", "int64 (B,)", "bool (B,)", or "real (B, 1, *, *) or (B, *, *)". "real" stands for any
            numbers but complex ones, and "*" for a side of any length. The text ends with " or None" where the argument
            may be left out.
    """
    if _traced():
        return
    sides: dict[str, tuple[int, str]] = {}
    for name, (value, text) in arguments.items():
        expected = _expected(text)
        if value is None and expected.optional:
            continue
        if not _is_tensor(value) or not _is_of(value, expected.kind):
            raise SalignError(f"{name}: expected {expected.words}, got {_shown(value)}{_remedy(value, expected.kind)}.")
        letters = expected.sides.get(value.dim())
        if letters is None:
            raise SalignError(f"{name}: expected {expected.words}, got {_shown(value)}.")
        for side, letter in zip(value.shape, letters, strict=True):
            if letter == "*":
                continue
            size, whose = sides.setdefault(letter, (int(letter) if letter.isdigit() else side, name))
            if side != size:
                reason = "" if letter.isdigit() else f" with {letter} = {size} as of {whose}"
                raise SalignError(f"{name}: expected {expected.words}{reason}, got {_shown(value)}.")


def images(value: object, reader: object) -> None:
    """Check the images that a network is given: they must be `(B, 3, H, W)` floating point in [0, 1].

    Values up to 0.5 outside of [0, 1] pass, because sharpening and noise lead there. Pixels from 0 to 255 are refused,
    and so are images that were normalised before. On an accelerator, values are checked in the first batch of each
    network only.

    Args:
        value: the images that were passed.
        reader: the network that is given them.
    """
    tensors(images=(value, "float (B, 3, H, W)"))
    if _is_tensor(value) and readable(value) and (value.device.type == "cpu" or reader not in _HAVE_READ):
        _look("images", value, "[0, 1]", "the network normalises them itself: give pixels divided by 255", slack=0.5)
        _HAVE_READ.add(reader)


def values(name: str, tensor: Tensor, interval: str, hint: str = "", *, slack: float = 0.0) -> None:
    """Refuse a tensor in main memory if a value of it is NaN or lies outside of an interval.

    Args:
        name: name of the argument.
        tensor: a tensor of any shape; on an accelerator its values are not checked.
        interval: where the values must lie, written as for `number`.
        hint: what the user can do; the message ends with it.
        slack: by how much values may lie outside of the interval, as they do after sharpening or interpolation.
    """
    if readable(tensor) and tensor.device.type == "cpu":
        _look(name, tensor, interval, hint, slack)


def readable(tensor: Tensor) -> bool:
    """Return whether a tensor has values that can be read; the stand-ins that compilers use have none."""
    import torch

    plain = type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.device.type != "meta"
    return plain and tensor.numel() > 0 and not _traced()


def _look(name: str, tensor: Tensor, interval: str, hint: str = "", slack: float = 0.0) -> None:
    import torch

    if tensor.dtype == torch.bool:
        return
    low, high = (float(end) for end in tensor.detach().aminmax())
    held = _interval(interval)
    if not (held.holds(low, slack) and held.holds(high, slack)):  # NaN must fail, too, so the test is negated
        came = "NaN" if math.isnan(low) or math.isnan(high) else f"{low:g} to {high:g}"
        raise SalignError(f"{name}: expected values {held.words}, got {came}{hint and '; '}{hint}.")


class _Interval(NamedTuple):
    low: float
    high: float
    with_low: bool
    with_high: bool

    @property
    def words(self) -> str:
        if self.with_low and self.with_high:
            return f"from {self.low:g} to {self.high:g}"
        low = f"of {self.low:g} or more" if self.with_low else f"above {self.low:g}"
        high = f"up to {self.high:g}" if self.with_high else f"below {self.high:g}"
        return low if math.isinf(self.high) else f"{low} and {high}"

    def holds(self, value: float, slack: float = 0.0) -> bool:
        low, high = self.low - slack, self.high + slack
        return (low <= value if self.with_low else low < value) and (value <= high if self.with_high else value < high)


@functools.cache
def _interval(text: str) -> _Interval:
    low, high = text[1:-1].split(",")
    return _Interval(float(low), float(high), text[0] == "[", text[-1] == "]")


class _Expected(NamedTuple):
    kind: str
    sides: dict[int, tuple[str, ...]]
    """Number of dimensions -> for each dimension its letter, its length as digits, or "*"."""
    optional: bool
    words: str


@functools.cache
def _expected(text: str) -> _Expected:
    kind, shapes = text.split(" ", 1)
    sides = {}
    for shape in re.findall(r"\((.*?)\)", shapes):
        letters = tuple(part.strip() for part in shape.split(",") if part.strip())
        sides[len(letters)] = letters
    noun = {"float": "a tensor of floating point", "real": "a tensor"}.get(kind, f"a tensor of {kind}")
    return _Expected(kind, sides, shapes.endswith(" or None"), f"{noun} {shapes}")


def _is_of(value: Tensor, kind: str) -> bool:
    if kind == "float":
        return value.is_floating_point()
    return not value.is_complex() if kind == "real" else str(value.dtype) == f"torch.{kind}"


def _remedy(value: object, kind: str) -> str:
    if not _is_tensor(value):
        return "; torch.as_tensor makes a tensor of an array" if hasattr(value, "__array__") else ""
    if kind == "float":
        return "" if value.is_complex() else "; whole numbers are on another scale: divide 8-bit ones by 255"
    return {"int64": "; .long() makes class numbers of whole numbers", "bool": "; say `!= 0`, or .bool()"}.get(kind, "")


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number with more digits than a float can have
        return math.inf if value > 0 else -math.inf


def _shown(value: object) -> str:
    if _is_tensor(value):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"one of {value.bit_length():,} bits"
    if isinstance(value, Number | str | None):
        return repr(value)
    shape: Any = getattr(value, "shape", "")
    return f"{type(value).__name__} {shape}".strip()


def _is_tensor(value: object) -> TypeGuard[Tensor]:
    """Return whether a value is a tensor. torch is not imported for this: where it is not, there are no tensors."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _traced() -> bool:
    import torch

    return torch.compiler.is_compiling() or torch.jit.is_tracing()
