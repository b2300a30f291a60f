"""What a public function asks of its arguments: checked once, where they enter, saying what was expected and what came.

Kinds, shapes and choices are checked always, which takes microseconds and waits for no device. Values (a label's class,
a map's sign) are looked at in main memory only: to read one from an accelerator, every training step would have to wait
for it; data pass through main memory on their way there. Nothing is looked at while a graph is compiled, exported or
traced, where there are no values.
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
"""Networks whose first batch has been looked at."""


def choice(name: str, value: object, known: Any) -> None:
    """Refuse a choice that is none.

    Args:
        name: name of the argument.
        value: what came.
        known: the choices; a `Literal`, a table by name, or any names.
    """
    one_of(value, get_args(known) or known, name)


def number(name: str, value: object, interval: str, *, whole: bool = False) -> None:
    """Refuse what is no number, or none of an interval.

    Args:
        name: name of the argument.
        value: what came; a bool is no number.
        interval: as it is written: "[0, 1]", "(0, inf)"; a square bracket belongs to it, a round one does not.
        whole: whether it must be a whole number.
    """
    kind = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind) or not _interval(interval).holds(float(value)):
        expected = f"a {'whole ' * whole}number {_interval(interval).words}"
        raise SalignError(f"{name}: expected {expected}, got {_shown(value)}.")


def numbers(name: str, value: object) -> NDArray[np.float64]:
    """Take an array of numbers as float64: a row for each image, run or value.

    Args:
        name: what they are.
        value: what came: an array, a list, or a tensor in main memory.
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
    """Refuse what is of another kind.

    Args:
        name: name of the argument.
        value: what came.
        expected: its class, or one of several.
        words: what the message calls it, such as "a function".
    """
    if not isinstance(value, expected):
        raise SalignError(f"{name}: expected {words}, got {_shown(value)}.")


def function(name: str, value: object) -> None:
    """Refuse what cannot be called."""
    if not callable(value):
        raise SalignError(f"{name}: expected a function or a module, got {_shown(value)}.")


def sides(name: str, value: object) -> tuple[int, int]:
    """Take the size of images: (H, W), or one number for a square.

    Args:
        name: name of the argument.
        value: what came.
    """
    pair = value if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2:
        raise SalignError(f"{name}: expected (H, W), or one number for a square, got {_shown(value)}.")
    for side in pair:
        number(name, side, f"[1, {LONGEST_SIDE}]", whole=True)
    return int(pair[0]), int(pair[1])


def device(name: str, value: object) -> None:
    """Refuse a device that is not there.

    Args:
        name: name of the argument.
        value: what came: a `torch.device`, or the name of one, such as "cpu", "cuda", "cuda:1" or "mps".
    """
    import torch

    there = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    there += ["mps"] * torch.backends.mps.is_available()
    text = str(value)
    if text not in there and not (text == "cuda" and "cuda:0" in there):
        raise SalignError(f"{name}: expected a device that is here ({', '.join(there)}), got {text[:60]!r}.")


def tensors(**arguments: tuple[object, str]) -> None:
    """Check kind and shape of several tensors, whose like letters must stand for like numbers.

    Args:
        arguments: what came by the name of its argument, and what was expected: "float (B, 3, H, W)", "int64 (B,)",
            "bool (B,)", "real (B, 1, *, *) or (B, *, *)" (any numbers but complex ones; sides of any length); with
            " or None" where it may be left out.
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
    """Check what a network is given: `(B, 3, H, W)` floating point in [0, 1].

    A little outside is let pass, as sharpening and noise leave it; 0 to 255, or what somebody has normalised already,
    is refused. On an accelerator this is looked at in the first batch of each network only.

    Args:
        value: what came.
        reader: the network.
    """
    tensors(images=(value, "float (B, 3, H, W)"))
    if _is_tensor(value) and readable(value) and (value.device.type == "cpu" or reader not in _HAVE_READ):
        _look("images", value, "[0, 1]", "the network normalises them itself: give pixels divided by 255", slack=0.5)
        _HAVE_READ.add(reader)


def values(name: str, tensor: Tensor, interval: str, hint: str = "", *, slack: float = 0.0) -> None:
    """Refuse a tensor in main memory of which a value is not finite or outside of an interval, as in `number`.

    Args:
        name: name of the argument.
        tensor: any shape; one on an accelerator is taken on trust.
        interval: where its values lie.
        hint: what to do, at the end of the message.
        slack: by how much they may lie outside, as what was sharpened or interpolated does.
    """
    if readable(tensor) and tensor.device.type == "cpu":
        _look(name, tensor, interval, hint, slack)


def readable(tensor: Tensor) -> bool:
    """Whether a tensor has values of its own to look at; a stand-in for one, as compilers use it, has none."""
    import torch

    plain = type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.device.type != "meta"
    return plain and tensor.numel() > 0 and not _traced()


def _look(name: str, tensor: Tensor, interval: str, hint: str = "", slack: float = 0.0) -> None:
    import torch

    if tensor.dtype == torch.bool:
        return
    low, high = (float(end) for end in tensor.detach().aminmax())
    held = _interval(interval)
    if not (held.holds(low, slack) and held.holds(high, slack)):  # written so that NaN fails, too
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
    """Number of dimensions -> a letter or a number for each."""
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


def _shown(value: object) -> str:
    if _is_tensor(value):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, Number | str | None):
        return repr(value)
    shape: Any = getattr(value, "shape", "")
    return f"{type(value).__name__} {shape}".strip()


def _is_tensor(value: object) -> TypeGuard[Tensor]:
    """Whether it is a tensor; torch is not imported for it, since without torch there is none."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _traced() -> bool:
    import torch

    return torch.compiler.is_compiling() or torch.jit.is_tracing()
