"""`modecover reproduce NAME` and `modecover demo`: declared experiments, and the page or the picture they end in."""

from __future__ import annotations

from pathlib import Path

from modecover.cli.parser import Parser, whole_number
from modecover.errors import UserError


def run_reproduce(words: list[str]) -> int:
    """`modecover reproduce NAME`"""
    from modecover import experiments

    listed = ", ".join(f"{name} ({experiments.get(name).takes})" for name in experiments.names())
    parser = Parser("modecover reproduce", description="Run a declared experiment; a second call resumes.")
    parser.add_argument("name", metavar="NAME", help=listed)
    parser.add_argument("--out", default="runs", metavar="DIR", help="where the runs go [runs]")
    parser.add_argument("--results", default="results", metavar="DIR", help="where the page goes [results]")
    parser.add_argument("--workers", type=whole_number, metavar="N", help="runs at a time [one for each core]")
    given = parser.parse(words)
    chosen = experiments.get(given.name)

    from modecover.cli.terminal import Display
    from modecover.experiments.report import page, write_rows
    from modecover.experiments.runner import require_workers, run_experiment
    from modecover.files import require_writable

    for flag, folder in (("--out", Path(given.out)), ("--results", Path(given.results))):
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{flag} is {folder}, which is a file: give a folder.")
    place = Path(given.results) / f"{chosen.name}.md"
    require_workers(given.workers)
    require_writable(place)  # before the work
    arms = sum(len(table.arms) for table in chosen.tables)
    print(f"{chosen.question} {arms} arms on {', '.join(dict.fromkeys(table.data for table in chosen.tables))}.")
    with Display() as display:
        results = run_experiment(chosen, Path(given.out) / chosen.name, display, given.workers)
    text = page(chosen, results)
    place.write_text(text, encoding="utf-8")
    write_rows(place.with_suffix(".jsonl"), [row for rows in results for row in rows])
    print(text)
    print(f"Written to {place}; the numbers of every seed are in {place.with_suffix('.jsonl')}.")
    return 0


def run_demo(words: list[str]) -> int:
    """`modecover demo`: a table of modes covered, and a picture."""
    parser = Parser("modecover demo", description="Train a plain GAN and an Intervention GAN, several seeds of each.")
    parser.add_argument("--out", default="runs/demo", metavar="DIR", help="where runs and picture go [runs/demo]")
    given = parser.parse(words)

    from modecover.cli.process import own_command
    from modecover.cli.terminal import Display, print_evaluation
    from modecover.experiments.demo import EXPERIMENT, FIRST_IMAGES, demo

    print(f"{EXPERIMENT.question} {EXPERIMENT.tables[0].settings['seeds']} seeds of each, as one program.")
    with Display() as display:
        results, picture = demo(Path(given.out), display)
    labels = [f"{r.arm.label}, seed {seed}" for r in results for seed in r.summary["seeds"]]
    rows = [numbers for r in results for numbers in r.summary["last"]]
    print_evaluation(rows, results[0].summary["control"], labels)
    print(f"Picture: {picture}")
    print(f"""Next:    {own_command()} {FIRST_IMAGES}
         draws digits that can be recognised after two minutes on two cores. --width 16 makes small
         networks, for a CPU; on a GPU leave it out (64) for better pictures. They come in
         runs/digits/samples.""")
    return 0
