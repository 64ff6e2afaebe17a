"""What can be kept: results as versioned JSON and back, and as a page."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, ClassVar, Self

from modecover.arguments import held
from modecover.auditing.results import FORMAT
from modecover.errors import UserError
from modecover.files import plain, replacing, writing
from modecover.kinds import fields_of


class Record:
    """A frozen dataclass with a `version` that JSON keeps, all but its galleries; records are equal where their JSON
    is."""

    KIND: ClassVar[str]
    """What the JSON calls it: "audit"."""

    def __eq__(self, other: object) -> bool:
        return self.to_json() == other.to_json() if isinstance(other, type(self)) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # its mappings have none

    def to_json(self) -> str:
        """All of it as strict, indented JSON; numbers that are not finite are the strings "NaN", "Infinity", ..."""
        content = _fields(self)
        content = {"program": "modecover", "kind": self.KIND, "version": content.pop("version"), **content}
        return json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """What `to_json` writes, as plain dictionaries, lists and values."""
        return typing.cast(dict[str, Any], json.loads(self.to_json()))

    def _repr_html_(self) -> str:
        """How notebooks show it: the page, in a frame of its own that its styles do not leave."""
        return f'<iframe srcdoc="{escape(self._page())}" style="width:100%;height:42rem;border:0"></iframe>'

    @classmethod
    @held()
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote. Raises `UserError` where `text` is something else, or of another format version."""
        kind = cls.KIND
        one = f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"This is no JSON ({error}): give the text of {one}'s JSON file.") from None
        if not isinstance(content, dict) or content.get("kind") != kind:
            raise UserError(f"This JSON is not {one} that modecover wrote: give the file that --json named.")
        if content.get("version") != FORMAT:
            raise UserError(
                f"This {kind} has format version {content.get('version')}, and this modecover reads version {FORMAT}: "
                f"read it with the modecover that wrote it, or run the {kind} again."
            )
        try:
            return typing.cast(Self, _read(cls, content))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"This {kind}'s JSON is damaged ({error!r}): run the {kind} again.") from None

    def _page(self) -> str:
        """One HTML text, with pictures from its gallery."""
        raise NotImplementedError

    @held()
    def save(self, path: Path | str) -> Path:
        """Write it to `path`: the page where that ends in .html, the JSON where it ends in .json.

        Raises `UserError` where it ends otherwise, or the file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() == ".json":
            text = self.to_json()
        elif path.suffix.lower() in (".html", ".htm"):
            text = self._page()
        else:
            one = f"an {self.KIND}" if self.KIND[0] in "aeiou" else f"a {self.KIND}"
            raise UserError(f"{path}: {one} is saved as .html (the page) or .json (the numbers).")
        with writing(path, "choose another place"):
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
        return path


def _fields(value: Any) -> Any:
    """Dataclasses as dictionaries of their fields, without galleries."""
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value) if field.name != "gallery"]
        return {name: _fields(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {name: _fields(item) for name, item in value.items()}
    return [_fields(item) for item in value] if isinstance(value, list | tuple) else value


def _read(kind: Any, value: Any) -> Any:
    """A value of the type `kind` from what JSON holds of it: dataclasses by their fields, of which those with a default
    may lack (they came later, and the version stayed), numbers also from texts.

    Where it holds something else: AttributeError, KeyError, TypeError or ValueError.
    """
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        fields, kinds_of = dataclasses.fields(kind), fields_of(kind)
        later = {f.name for f in fields if not f.default is f.default_factory is dataclasses.MISSING}
        names = [f.name for f in fields if f.name in value or f.name not in later]
        return kind(**{name: _read(kinds_of[name], value[name]) for name in names if name != "gallery"})
    options = typing.get_args(kind)
    if type(None) in options:
        return None if value is None else _read(options[0], value)
    if typing.get_origin(kind) is tuple:
        kinds = options[:1] * len(value) if options[-1] is ... else options
        return tuple(_read(one, item) for one, item in zip(kinds, value, strict=True))
    if typing.get_origin(kind) is Mapping:
        return {_read(options[0], name): _read(options[1], item) for name, item in value.items()}
    if kind in (int, float) and not isinstance(value, int | float):
        return kind(value)  # "NaN", and the keys of a mapping
    if kind in (str, bool) and not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
