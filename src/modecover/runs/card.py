"""The card of a model: what a stranger wants to know before they use it. Its words stand in card.md.jinja.

All that the card says comes from files that may be anybody's, so nothing of it is relied on.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modecover.errors import UserError, printable
from modecover.files import read_json
from modecover.kinds import counted, shown
from modecover.methods import registry
from modecover.networks.network import CLASSES
from modecover.runs.evaluation import in_words
from modecover.runs.model_files import WEIGHTS
from modecover.runs.settings import MAY_CHANGE, resolve

if TYPE_CHECKING:
    from huggingface_hub import ModelCard, ModelCardData

    from modecover.runs.model import GenerativeModel

TEMPLATE = Path(__file__).with_name("card.md.jinja")
SHEET = "samples.png"
UNKNOWN = "unknown"  # how the Hub calls a licence that nobody has named
_FOUND = {True: "**found**", False: "no"}


def card_of(
    model: GenerativeModel,
    data: ModelCardData,
    *,
    license: str = UNKNOWN,
    audit: Mapping[str, Any] | None = None,
    sheet: bool = False,
    repository: str = "OWNER/NAME",
    **words: Any,
) -> ModelCard:
    """The card of a model.

    Args:
        data: metadata that every model's card has.
        license: by the Hub's name for it.
        audit: as JSON holds it.
        sheet: whether `SHEET` lies beside the card.
        words: of the template, in place of ours.
    """
    from huggingface_hub import EvalResult, ModelCard, ModelCardData
    from jinja2 import Environment, StrictUndefined

    method, name = _text(model.method.get("name")), _text(model.data.get("name"))
    title, numbers = f"{method} on {name}", _numbers(model)
    facts: dict[str, Any] = {"license": license, "model_name": title if numbers else None}
    if len(model.shape) == 3:
        facts["pipeline_tag"] = "unconditional-image-generation"  # the Hub has no tag for points and tables
    if numbers:
        facts["eval_results"] = [
            EvalResult(
                task_type="other",
                dataset_type=name,
                dataset_name=name,
                metric_type=key,
                metric_name=key.replace("_", " "),
                metric_value=value,
            )
            for key, value, _ in numbers
        ]
    facts["tags"] = [*(data.tags or []), *(["tabular"] if model.columns else [])]
    facts = {"library_name": data["library_name"], **facts}
    command = command_of(model)
    ours = {
        "title": title,
        "data": name,
        "method": method,
        "trained": _trained(model),
        "repository": repository,
        "sheet": SHEET if sheet else "",
        "samples": f"Samples of {title}",
        **_classes(model),
        "numbers": [(key.replace("_", " "), f"{value:.4g}", _number(real)) for key, value, real in numbers],
        "judged": _judged(model),
        "verdicts": [] if audit is None else _verdicts(audit),
        "command": command,
        "about_data": "; its data are its author's own" if command and "YOUR-DATA" in command else "",
    }
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    template = environment.from_string(TEMPLATE.read_text("utf-8"))
    return ModelCard(template.render(card_data=ModelCardData(**facts).to_yaml(), **{**ours, **words}))


def command_of(model: GenerativeModel) -> str | None:
    """The command that trains such a model; None where it was trained with what no command has."""
    name, settings = model.method.get("name"), model.training_facts.get("settings")
    own = [net for net in model.networks.values() if type(net) not in CLASSES.values()]
    if own or not isinstance(settings, Mapping) or name not in registry.METHODS:
        return None
    method, usual = resolve(str(name), model.shape)
    defaults = {**usual.as_dict(), **method.settings()}
    told = {**settings, **model.method.get("settings", {})}
    where = MAY_CHANGE - {"steps", "evaluate_samples"}  # on which the numbers depend
    chosen = {key: told[key] for key in defaults if key in told and key not in where and told[key] != defaults[key]}
    opened = model.data.get("opened")
    options = {key: value for key, value in opened.items() if value is not None} if opened else {}
    source = options.pop("source", None)
    words = ["modecover", "train", str(name), "--data", source if isinstance(source, str) else "YOUR-DATA"]
    for key, value in {**options, **chosen}.items():
        flag = key.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            words += [f"--{flag}={text}"] if text.startswith("-") else [f"--{flag}", "none" if value is None else text]
    return printable(shlex.join(words))


def audit_of(given: Any, folder: Path | None, seed: int | None) -> Mapping[str, Any] | None:
    """An audit as JSON holds it: of what was given, an `Audit`, its JSON's path or content; or where nothing was, what
    `modecover evaluate` left in the run from whose `folder` the model is; None where there is none.

    Raises:
        UserError: what was given is no audit.
    """
    found = given
    if given is None:
        found = _beside(folder, seed)
        if found is None:
            return None
    if isinstance(found, str | Path):
        try:
            found = read_json(Path(found), "give the file that --json named")
        except FileNotFoundError:
            raise UserError(f"{found} does not exist: give the file that `modecover audit --json` named.") from None
    elif hasattr(found, "to_dict"):
        found = found.to_dict()
    if not isinstance(found, Mapping) or found.get("kind") != "audit" or not isinstance(found.get("verdicts"), list):
        raise UserError(f"audit is {shown(given)}: give what modecover.audit made, or the file that --json named.")
    return found


def _beside(folder: Path | None, seed: int | None) -> Path | None:
    """The newest audit of a model in its run's folder that is no older than the model."""
    if folder is None:
        return None
    weights = folder / WEIGHTS
    runs = [place for place in (folder, *folder.absolute().parents[:2]) if (place / "run.json").is_file()]
    single = folder.name != f"seed-{seed}"
    names = "audit.json" if single else f"audit-seed-{seed}.json"
    found = [run / names for run in runs if (run / names).is_file()]
    fresh = [path for path in found if path.stat().st_mtime >= weights.stat().st_mtime]
    return fresh[0] if fresh else None


def _numbers(model: GenerativeModel) -> list[tuple[str, float, Any]]:
    """(name, value, that of real data) of each number of the last evaluation, those of averages where these are what
    the model has."""
    found = model.training_facts.get("evaluation") or {}
    numbers, real = (part if isinstance(part := found.get(key), Mapping) else {} for key in ("numbers", "real data"))
    average = "ema_"
    averaged = model.training_facts.get("averaged") is True
    chosen = {key.removeprefix(average): value for key, value in numbers.items() if key.startswith(average) == averaged}
    return [
        (_text(key), float(value), real.get(key))
        for key, value in chosen.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and value == value
    ]


def _judged(model: GenerativeModel) -> str:
    """By what numbers were taken, in words; empty where it is not known."""
    found = model.training_facts.get("evaluation")
    by = found.get("by") if isinstance(found, Mapping) else None
    if not isinstance(by, Mapping):
        return ""
    return in_words({_text(key): _text(value) for key, value in by.items()})


def _trained(model: GenerativeModel) -> str:
    """In words: for 20,000 steps with seed 3, its weights a moving average of those that were trained."""
    facts = model.training_facts
    step, seed = facts.get("step"), facts.get("seed")
    words = f" for {step:,} steps" if isinstance(step, int) else ""
    words += f" with seed {seed}" if isinstance(seed, int) else ""
    return words + ("; its weights are a moving average" if facts.get("averaged") is True else "")


def _classes(model: GenerativeModel) -> dict[str, str]:
    """The classes of a conditional model as its card lists them, and one as Python asks for it; none of another."""
    if model.classes is None:
        return {"classes": "", "one_class": ""}
    names = model.classes.names or model.classes.labels
    return {"classes": counted(_text(name) for name in names), "one_class": repr(names[0])}


def _verdicts(audit: Mapping[str, Any]) -> list[dict[str, str]]:
    rows = []
    for verdict in audit["verdicts"]:
        try:
            effect, null = verdict["effect"], verdict["null"]
            measured = isinstance(effect["value"], int | float)
            rows.append(
                {
                    "name": _text(verdict["name"]),
                    "found": _FOUND[verdict["fires"] is True] if measured else "cannot tell",
                    "effect": f"{_number(effect['value'])} ({_number(effect['low'])} to {_number(effect['high'])})",
                    "null": f"{_number(null['low'])} to {_number(null['high'])}",
                    "sentence": _text(verdict["sentence"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise UserError("The audit's verdicts are damaged: audit the model again.") from error
    return rows


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else "-"


def _text(value: Any) -> str:
    """A name as a line of Markdown can hold it, in a table too."""
    return printable(value)[:300].replace("|", r"\|").replace("<", "&lt;")
