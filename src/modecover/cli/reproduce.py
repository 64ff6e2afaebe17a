"""`modecover reproduce NAME`: run a declared experiment and write its page of results."""

from __future__ import annotations

from pathlib import Path

from modecover.cli.parser import Parser


def run(words: list[str]) -> int:
    """`modecover reproduce NAME`"""
    from modecover.experiments.declared import EXPERIMENTS, experiment

    parser = Parser("modecover reproduce", description="Run a declared experiment; a second call resumes.")
    parser.add_argument("name", metavar="NAME", help=", ".join(EXPERIMENTS))
    parser.add_argument("--out", default="runs", metavar="DIR", help="where the runs go [runs]")
    parser.add_argument("--results", default="results", metavar="DIR", help="where the page goes [results]")
    given = vars(parser.parse(words))
    chosen = experiment(given["name"])

    from modecover.cli.progress import Display
    from modecover.experiments.report import page
    from modecover.experiments.runner import run_experiment

    print(f"{chosen.question} {len(chosen.arms)} arms on {chosen.data}.")
    with Display() as display:
        results = run_experiment(chosen, Path(given["out"]) / chosen.name, display)
    text = page(chosen, results)
    place = Path(given["results"]) / f"{chosen.name}.md"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")
    print(text)
    print(f"Written to {place}.")
    return 0
