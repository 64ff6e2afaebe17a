"""`modecover reproduce` and `modecover demo`: declared experiments, and the page or the picture they end in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modecover.cli.parser import Parser, number, whole_number
from modecover.errors import UserError

if TYPE_CHECKING:
    from modecover.experiments.declared import Experiment
    from modecover.experiments.store import Store


def run_reproduce(words: list[str]) -> int:
    """`modecover reproduce NAME`"""
    from modecover import experiments
    from modecover.experiments.declared import SCALES

    parser = Parser("modecover reproduce", description="Run a declared experiment; a second call resumes.")
    parser.add_argument("name", metavar="NAME", nargs="?", help=", ".join(experiments.names()))
    parser.add_argument("--list", action="store_true", help="all experiments, with the runs and hours of each scale")
    parser.add_argument("--queue", action="store_true", help="runs that are missing, of all experiments")
    scales = "; ".join(f"{name}: {what}" for name, what in SCALES.items())
    parser.add_argument("--scale", choices=list(SCALES), default="cpu", help=f"{scales} [cpu]")
    parser.add_argument("--only", default="", metavar="LABEL", help="one row of the tables, or one table")
    parser.add_argument("--minutes", type=number, metavar="X", help="stop after so many, and save what runs")
    parser.add_argument(
        "--workers", type=whole_number, metavar="N", help="runs at a time [one for each core; on a GPU one]"
    )
    parser.add_argument("--backend", choices=["local", "ray"], default="local", help="what spreads the runs [local]")
    parser.add_argument(
        "--data-dir", default="", metavar="DIR", help="folder in which mnist and cifar10 are looked for"
    )
    parser.add_argument("--page", action="store_true", help="run nothing: write the page from the rows that are there")
    parser.add_argument("--out", default="runs", metavar="DIR", help="where the runs go [runs]")
    parser.add_argument("--results", default="results", metavar="DIR", help="where rows and page go [results]")
    given = parser.parse(words)
    if given.list:
        _list([experiments.get(name) for name in experiments.names()])
        return 0
    if given.queue == bool(given.name):
        raise UserError("Name an experiment, or say --queue for all that is missing, or --list to see what there is.")
    names = [given.name] if given.name else experiments.names()
    chosen = sorted(map(experiments.get, names), key=lambda each: -each.value)

    import torch

    from modecover.cli.process import freed_memory_kept_by_others
    from modecover.cli.terminal import Display
    from modecover.experiments.runner import Place, is_to_be_brought, run_jobs
    from modecover.experiments.store import Store, jobs
    from modecover.files import require_writable

    for flag, folder in (("--out", given.out), ("--results", given.results), ("--data-dir", given.data_dir)):
        if folder and Path(folder).exists() and not Path(folder).is_dir():
            raise UserError(f"{flag} is {folder}, which is a file: give a folder.")
    # Several processes on a GPU gain nothing; the seeds of one do, side by side.
    on_gpu = given.backend == "local" and torch.cuda.is_available()
    workers = 1 if on_gpu and given.workers is None else given.workers
    place = Place(Path(given.out), given.data_dir, workers, given.minutes, given.backend, at_once=on_gpu)
    declared = [job for each in chosen for job in jobs(each, given.scale, given.only)]
    if given.only and not declared:
        tables = [table for each in chosen for table in each.tables]
        labels = ", ".join(dict.fromkeys(arm.label for table in tables for arm in table.at(given.scale)))
        called = ", ".join(dict.fromkeys(table.name for table in tables if table.name))
        or_table = f"; or a table: {called}" if called else ""
        where = f"no row {given.only!r} at the scale {given.scale}"
        raise UserError(f"There is {where}: choose one of {labels}{or_table}.")
    # Rows that only show that it runs are kept apart.
    kind = ".smoke" if given.scale == "smoke" else ""
    paths = {each.name: Path(given.results) / f"{each.name}{kind}.jsonl" for each in chosen}
    stores = {name: Store(path) for name, path in paths.items()}
    for each in chosen:
        require_writable(Path(given.results) / f"{each.name}{kind}.md")  # before the work
    refused: UserError | None = None
    if not given.page:
        for store in stores.values():
            store.require_writable()
        missing = [job for job in declared if job not in stores[job.experiment]]
        question = chosen[0].question if given.name else "What is missing, the most valuable first."
        print(f"{question} {len(missing)} of {len(declared)} runs are to be done.")
        with freed_memory_kept_by_others(), Display() as display:
            try:
                run_jobs(declared, stores, place, display)
            except UserError as error:  # told behind the pages, which have what was done
                refused = error
    if given.page and given.name:
        print(f"The page of {given.name} is made of the rows of {len(stores[given.name].rows)} runs.")
    for each in chosen:
        stores[each.name].refresh()  # what others added meanwhile counts too
        if each.name == given.name or stores[each.name].rows:
            text, page = _write(each, stores[each.name], Path(given.results), Path(given.out), given.scale, kind)
            if given.name:
                print(text)
            where = f"; the numbers of every seed are in {stores[each.name].path}" if stores[each.name].rows else ""
            print(f"Written to {page}{where or ', without any: no run is done'}.")
    if given.queue and not any(store.rows for store in stores.values()):
        print(f"No run is done, by what {given.results} holds: there is no page to write.")
    if refused is not None:
        raise refused
    if not given.page:
        left = [job for job in declared if job not in stores[job.experiment]]
        if absent := sum(is_to_be_brought(job, place) for job in left):
            print(f"{absent} runs are not done for want of their data, which must be brought along: see the notes.")
        if len(left) > absent:
            print("Not all runs are done: the same command goes on from here.")
    return 0


def _write(experiment: Experiment, store: Store, results: Path, runs: Path, scale: str, kind: str) -> tuple[str, Path]:
    """The page and where it was written: of the scale that was run, and of the other one if it has rows."""
    from modecover.experiments.report import page, save_curves, save_sheets
    from modecover.files import replacing

    there = {row["scale"] for row in store.rows.values()} | {scale}
    found = {name: store.results(experiment, name) for name in ("full", "cpu", "smoke") if name in there}
    images = Path("images", f"{experiment.name}{kind}")
    drawn = [save_curves(experiment, each, results / images / f"{name}.png") for name, each in found.items()]
    sheets = {
        name: {
            arm: {caption: path.relative_to(results).as_posix() for caption, path in pictures.items()}
            for arm, pictures in save_sheets(experiment, name, runs, results / images, store).items()
        }
        for name in found
    }
    text = page(experiment, found, images.as_posix() if any(drawn) else "", sheets)
    place = results / f"{experiment.name}{kind}.md"
    results.mkdir(parents=True, exist_ok=True)
    with replacing(place) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # rows may quote names that are none
    if store.twice:
        print(f"{store.twice} lines of {store.path} repeat the run of a line before them, which counts.")
    return text, place


def _list(every: Sequence[Experiment]) -> None:
    from modecover.experiments.declared import SCALES
    from modecover.experiments.store import jobs

    for each in sorted(every, key=lambda each: -each.value):
        print(f"{each.name}: {each.question}")
        for scale in SCALES:
            runs = [run for job in jobs(each, scale) for run in (*job.rivals, job)]
            minutes = sum(run.minutes for run in runs)
            took = f"{minutes / 60:.1f} h" if minutes >= 90 else f"{max(1, round(minutes))} min"
            count = f"{len(runs)} run{'s' * (len(runs) != 1)}"
            print(f"    --scale {scale}: {count}, about {took} of one {'card' if scale == 'full' else 'core'}")


def run_demo(words: list[str]) -> int:
    """`modecover demo`: a table of modes covered, and a picture."""
    parser = Parser("modecover demo", description="Train a plain GAN and an Intervention GAN, several seeds of each.")
    parser.add_argument("--out", default="runs/demo", metavar="DIR", help="where runs and picture go [runs/demo]")
    given = parser.parse(words)

    from modecover.cli.process import freed_memory_kept_by_others, own_command
    from modecover.cli.terminal import Display, print_evaluation
    from modecover.experiments.demo import EXPERIMENT, FIRST_IMAGES, demo

    print(f"{EXPERIMENT.question} {EXPERIMENT.tables[0].settings['seeds']} seeds of each, as one program.")
    with freed_memory_kept_by_others(), Display() as display:
        results, picture = demo(Path(given.out), display)
    labels = [f"{r.arm.label}, seed {seed}" for r in results for seed in r.summary["seeds"]]
    rows = [numbers for r in results for numbers in r.summary["last"]]
    print_evaluation(rows, results[0].summary["control"], labels)
    print(f"Picture: {picture}")
    print(f"""Next:    {own_command()} {FIRST_IMAGES}
         draws digits that can be recognised after two minutes on two cores. --width 16 makes small
         networks, for a CPU, which --lr is for; on a GPU leave both out for better pictures. They
         come in runs/digits/samples.""")
    return 0
