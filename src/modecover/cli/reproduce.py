"""`modecover reproduce NAME`: run a declared experiment and write its page of results."""

from __future__ import annotations

from pathlib import Path

from modecover.cli.parser import Parser
from modecover.errors import UserError


def run(words: list[str]) -> int:
    """`modecover reproduce NAME`"""
    from modecover.experiments import search
    from modecover.experiments.declared import EXPERIMENTS, experiment

    parser = Parser("modecover reproduce", description="Run a declared experiment; a second call resumes.")
    parser.add_argument("name", metavar="NAME", help=", ".join([*EXPERIMENTS, f"{search.NAME} (takes hours)"]))
    parser.add_argument("--out", default="runs", metavar="DIR", help="where the runs go [runs]")
    parser.add_argument("--results", default="results", metavar="DIR", help="where the page goes [results]")
    parser.add_argument("--workers", type=int, metavar="N", help="runs at a time [one for each core]")
    given = vars(parser.parse(words))
    for flag in ("out", "results"):  # before hours of work
        if (folder := Path(given[flag])).exists() and not folder.is_dir():
            raise UserError(f"--{flag} is {folder}, which is a file: give a folder.")
    name, out = given["name"], Path(given["out"]) / given["name"]

    from modecover.cli.progress import Display
    from modecover.experiments.report import page
    from modecover.experiments.rows import write_rows
    from modecover.experiments.runner import run_experiment

    if name == search.NAME:
        print(search.QUESTION)
        with Display() as display:
            text, results = search.mixtures_page(out, display, given["workers"])
    else:
        chosen = experiment(name)
        print(f"{chosen.question} {len(chosen.arms)} arms on {chosen.data}.")
        with Display() as display:
            results = run_experiment(chosen, out, display, given["workers"])
        text = page(chosen, results)
    place = Path(given["results"]) / f"{name}.md"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")
    write_rows(place.with_suffix(".jsonl"), results)
    print(text)
    print(f"Written to {place}; the numbers of every seed are in {place.with_suffix('.jsonl')}.")
    return 0
