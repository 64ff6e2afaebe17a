"""`modecover demo`: plain GAN and IVGAN side by side, a table of modes covered and a picture."""

from __future__ import annotations

from pathlib import Path

from modecover.cli.parser import Parser


def run(words: list[str]) -> int:
    """`modecover demo`"""
    parser = Parser("modecover demo", description="Train a plain GAN and an Intervention GAN, several seeds of each.")
    parser.add_argument("--out", default="runs/demo", metavar="DIR", help="where runs and picture go [runs/demo]")
    given = vars(parser.parse(words))

    from modecover.cli.process import own_command
    from modecover.cli.progress import Display
    from modecover.cli.tables import print_evaluation
    from modecover.experiments.declared import DEMO
    from modecover.experiments.demo import demo

    print(f"{DEMO.question} {DEMO.settings['seeds']} seeds of each, as one program.")
    with Display() as display:
        result = demo(Path(given["out"]), display)
    labels = [f"{r.arm.label}, seed {seed}" for r in result.results for seed in r.summary["seeds"]]
    rows = [numbers for r in result.results for numbers in r.summary["last"]]
    print_evaluation(rows, result.results[0].summary["control"], labels)
    print(f"Picture: {result.picture}")
    print(f"Next:    {own_command()} {result.next_command}")
    print(
        "         draws digits that can be recognised after two minutes on two cores. --width 16 makes small networks,"
    )
    print("         for a CPU; on a GPU leave it out (64) for better pictures. They come in runs/digits/samples.")
    return 0
