"""The command line's frame: what it answers, how fast, and how it says no."""

from __future__ import annotations

import errno
import os
import platform
import resource
import signal
import subprocess
import sys
import warnings
from dataclasses import dataclass
from typing import Literal

import pytest

from modecover.cli import main as command
from modecover.cli.main import COMMANDS
from modecover.cli.parser import Failure, Parser, add_flags, as_flags, field_docs
from modecover.cli.process import own_command
from modecover.errors import UserError
from modecover.files import replacing


@dataclass(frozen=True)
class Base:
    """Settings."""

    steps: int = 100
    """How far."""
    lr_G: float | None = None
    """Learning rate of G,
    over two lines."""


@dataclass(frozen=True)
class Example(Base):
    """More settings."""

    order: Literal["first", "last"] = "last"
    """Which is it."""
    capture: bool = False
    """Half of it: 50%."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths."""
    steps: int = 200
    """How far, said again."""
    undocumented: str = "x"


def parse(*words: str) -> dict[str, object]:
    parser = Parser("modecover example")
    add_flags(parser.add_argument_group("settings"), Example, {"lr_G": 0.5})
    return vars(parser.parse(words))


def say(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = command(words)
    said = capsys.readouterr()
    return code, said.out, said.err


# ---------------------------------------------------------------- flags of a dataclass


def test_only_what_the_user_said_comes_out_and_in_the_field_s_type():
    assert parse() == {}
    given = parse(
        "--steps", "2e3", "--lr-G", "1e-4", "--order", "first", "--capture", "--hidden", "3,4", "--undocumented", ""
    )
    assert given == {
        "steps": 2000,
        "lr_G": 1e-4,
        "order": "first",
        "capture": True,
        "hidden": (3, 4),
        "undocumented": "",
    }
    assert type(given["steps"]) is int


@pytest.mark.parametrize("flag", ["--lr-G", "--lr_G", "--lr-g", "--LR_g"])
@pytest.mark.parametrize("joint", [" ", "="])
def test_a_flag_may_be_spelled_with_underscores_and_in_any_case(flag, joint):
    assert parse(*f"{flag}{joint}0.25".split(" ")) == {"lr_G": 0.25}


def test_a_setting_can_be_put_back_to_nothing_and_a_switch_turned_off():
    assert parse("--lr-G", "none", "--no-capture") == {"lr_G": None, "capture": False}


def test_a_negative_number_is_a_value_and_not_a_flag():
    assert parse("--steps", "-3") == {"steps": -3}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--steps many", "--steps: 'many' is not a whole number."),
        ("--steps 1.5", "--steps: '1.5' is not a whole number."),
        ("--steps inf", "--steps: 'inf' is not a whole number."),
        ("--lr-G nan", "--lr-G: 'nan' is not a number."),
        ("--order middle", "--order: 'middle' is not one of first, last."),
        ("--hidden 3,x", "--hidden: 'x' is not a whole number."),
        ("--steps", "--steps: a value is missing."),
        ("--stpes 3", "There is no flag '--stpes': did you mean --steps?"),
        ("--xyz=3", "There is no flag '--xyz': `modecover example --help` lists them all."),
        ("--step 3", "There is no flag '--step': did you mean --steps?"),
        ("--html x", "There is no flag '--html': `modecover example --help` lists them all."),
        ("surplus", "'surplus' is one word too many"),
    ],
)
def test_a_wrong_word_is_answered_by_a_sentence(words, sentence):
    with pytest.raises(UserError) as caught:
        parse(*words.split())
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_docstrings_below_fields_are_the_help_and_the_nearest_class_wins():
    assert field_docs(Example) == {
        "steps": "How far, said again.",
        "lr_G": "Learning rate of G, over two lines.",
        "order": "Which is it.",
        "capture": "Half of it: 50%.",
        "hidden": "Widths.",
    }


def test_help_shows_defaults_and_those_that_were_changed(capsys):
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    page = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0
    for shown in ("How far, said again. [200]", "over two lines. [0.5]", "[64,64]", "50%.", "--order {first,last}"):
        assert shown in page


def test_help_shows_what_points_get_where_it_differs(capsys):
    parser = Parser("modecover example")
    points = {"steps": 50, "lr_G": 0.5, "order": "first"}
    add_flags(parser.add_argument_group("settings"), Example, {"lr_G": 0.5}, points=points)
    with pytest.raises(SystemExit):
        parser.parse(["--help"])
    page = " ".join(capsys.readouterr().out.split())
    for shown in ("said again. [200; 50 for points]", "lines. [0.5]", "is it. [last; first for points]"):
        assert shown in page


# ---------------------------------------------------------------- the command


def test_help_answers_at_once_and_loads_no_library():
    code = (
        "import sys, modecover.cli\n"
        "try: modecover.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(*sorted({m.partition('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    fastest = float("inf")
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        after = resource.getrusage(
            resource.RUSAGE_CHILDREN
        )  # of the processor: other work on the machine does not count
        fastest = min(fastest, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert all(name in done.stdout for name in COMMANDS)
    assert not {"torch", "numpy", "rich", "matplotlib"} & set(done.stderr.split())
    assert fastest < 0.3


@pytest.mark.parametrize(("own", "policy"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_threads_wait_asleep_unless_the_user_says_otherwise(own, policy):
    """It must be said before torch is loaded: its threads are told how to wait when they are."""
    code = "import os, sys, modecover.cli\nmodecover.cli.main(['--version'])\nprint(os.environ['OMP_WAIT_POLICY'])\n"
    code += "assert 'torch' not in sys.modules and os.environ['MPLBACKEND'] == 'agg'"
    others = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**others, **own}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == policy


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
@pytest.mark.parametrize(("own", "kept"), [({}, True), ({"MALLOC_MMAP_THRESHOLD_": "65536"}, False)])
def test_freed_memory_is_kept_unless_the_user_says_otherwise(own, kept):
    code = """if True:
        import resource
        from modecover.cli.process import keep_freed_memory
        keep_freed_memory()
        block = bytearray(b"x") * 2**25
        del block
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        block = bytearray(b"x") * 2**25
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"""
    others = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**others, **own}, capture_output=True, text=True, check=True
    )
    faults = int(done.stdout)
    assert faults < 100 if kept else faults > 1000  # 2**25 bytes are 8,192 pages


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_processes_that_are_started_keep_freed_memory_and_this_one_is_left_alone(monkeypatch):
    from modecover.cli.process import freed_memory_kept_by_others

    code = """if True:
        import resource
        block = bytearray(b"x") * 2**25
        del block
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        block = bytearray(b"x") * 2**25
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"""

    def faults() -> int:
        return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)

    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_"))]:
        monkeypatch.delenv(name)
    before = dict(os.environ)
    with freed_memory_kept_by_others():
        assert faults() < 100
    assert dict(os.environ) == before and faults() > 1000
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    with freed_memory_kept_by_others():
        assert faults() > 1000, "the user's own settings stay"


def test_the_bare_command_and_the_version(capsys):
    import modecover

    assert say(capsys)[0] == 0
    assert say(capsys, "--version") == (0, f"modecover {modecover.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("trian", "There is no command 'trian': did you mean train?"),
        ("zzzzz", "There is no command 'zzzzz': `modecover --help` lists them all."),
        ("--verison", "There is no flag '--verison': did you mean --version?"),
        ("data chekc ring", "There is no data command 'chekc': did you mean check?"),
        ("describe wgan-pg", "There is no method called 'wgan-pg': did you mean 'wgan-gp'?"),
        ("describe", "Missing: METHOD. `modecover describe --help` shows what goes where."),
    ],
)
def test_bad_input_is_one_sentence_on_stderr_and_exit_code_2(words, sentence, capsys):
    assert say(capsys, *words.split()) == (2, "", f"modecover: {sentence}\n")


def test_traceback_shows_where_a_sentence_comes_from():
    with pytest.raises(UserError, match="no command 'trian'"):
        command(["trian", "--traceback"])


def _raising(error: BaseException):
    def run(words: list[str]) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "modecover: Interrupted.\n"),
        (Failure("The loss is not finite."), 1, "modecover: The loss is not finite.\n"),
        (UserError("The folder is full: empty it."), 2, "modecover: The folder is full: empty it.\n"),
        (BrokenPipeError(), 0, ""),
        (
            PermissionError(errno.EACCES, "Permission denied", "/data/x.png"),
            2,
            "modecover: /data/x.png cannot be used: Permission denied. Mend that, or add --traceback to see where it "
            "was needed.\n",
        ),
    ],
)
def test_each_way_to_end_has_its_exit_code(error, code, said, monkeypatch, capsys):
    import modecover.cli.models as models

    monkeypatch.setattr(models, "run_sample", _raising(error))
    monkeypatch.setattr("os.dup2", lambda *_: None)
    monkeypatch.setattr("sys.stdout.fileno", lambda: 1, raising=False)
    assert say(capsys, "sample") == (code, "", said)


def test_sigterm_leaves_nothing_half_written(monkeypatch, capsys, tmp_path):
    import modecover.cli.models as models

    def write(words: list[str]) -> int:
        with replacing(tmp_path / "page.html") as temporary:
            temporary.write_text("half")
            signal.raise_signal(signal.SIGTERM)
        return 0

    monkeypatch.setattr(models, "run_sample", write)
    assert say(capsys, "sample") == (130, "", "modecover: Interrupted.\n")
    assert list(tmp_path.iterdir()) == [] and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_mistake_of_ours_is_not_hidden(monkeypatch):
    import modecover.cli.models as models

    monkeypatch.setattr(models, "run_sample", _raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        command(["sample"])


def test_our_warnings_are_sentences(monkeypatch, capsys):
    import modecover.cli.models as models

    def run(words: list[str]) -> int:
        warnings.warn_explicit("The checkpoint is damaged.", UserWarning, "/lib/modecover/runs/checkpoint.py", 1)
        warnings.warn_explicit("old function", DeprecationWarning, "/lib/elsewhere.py", 7)
        return 0

    monkeypatch.setattr(models, "run_sample", run)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        _, _, said = say(capsys, "sample")
    assert said == (
        "modecover: warning: The checkpoint is damaged.\n/lib/elsewhere.py:7: DeprecationWarning: old function\n"
    )


# ---------------------------------------------------------------- list and describe


def test_methods_can_be_asked_for_by_name_and_importing_them_loads_no_library():
    code = (
        "import sys, modecover\n"
        "from modecover import methods\n"
        "assert not {'torch', 'numpy'} & sys.modules.keys()\n"
        "print('gan' in methods.names(), methods.get('wgan-gp').__name__)\n"
        "methods.nmaes"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "True WGANGP\n"
    assert "AttributeError: module 'modecover.methods' has no attribute 'nmaes'" in done.stderr


def test_list_names_everything_that_is_registered(capsys):
    from modecover.data import NAMES
    from modecover.interventions import INTERVENTIONS
    from modecover.methods import registry
    from modecover.networks import PRESETS

    code, said, _ = say(capsys, "list")
    first_words = [line.split()[0] for line in said.splitlines() if line.startswith("  ") and line.strip()]
    assert code == 0
    assert {*registry.names(), *NAMES, *PRESETS, *INTERVENTIONS} <= set(first_words)


def test_list_groups_methods_by_family_each_with_its_citation(capsys):
    from modecover.methods import registry
    from modecover.methods.base import FAMILIES

    sections = dict(part.partition("\n")[::2] for part in say(capsys, "list")[1].split("\n\n"))
    listed = [title.removeprefix("Methods: ") for title in sections if title.startswith("Methods: ")]
    assert listed == [family for family in FAMILIES if family in listed], "a method's family is one of FAMILIES"
    for name in registry.names():
        method = registry.get(name)
        words = " ".join(sections[f"Methods: {method.family}"].split())
        assert f"{name} {method.title} {method.citation}" in words


def test_list_says_which_data_are_the_same_points(capsys):
    from modecover.data.mixtures import PRESETS

    lines = say(capsys, "list")[1].splitlines()
    shown = {line.split()[0]: line for line in lines if "2-D mixture" in line}
    assert shown.keys() == PRESETS.keys()
    for name, line in shown.items():
        first = next(other for other in PRESETS if PRESETS[other] == PRESETS[name])
        assert (f"the same points as {first})" in line) == (first != name)
        assert (f"std={PRESETS[name]['std']}" in line) == (first == name)


@pytest.mark.parametrize(
    ("python", "flags"),
    [
        ("use device=cuda.", "use --device cuda."),
        ("set key='a', or lr_G=1e-4", "set --key a, or --lr-G 1e-4"),
        ("train with conditional=True, or capture=False.", "train with --conditional, or --no-capture."),
        ("(scaling='none' compares the numbers as they are)", "(--scaling none compares the numbers as they are)"),
        ("say real_options=fake_options={'size': 4, 'channels': 1}.", "say --size 4 --channels 1."),
        ("name it by fake_options={'key': ...}, or real_options={'key': 'a,b'}", "name it by --fake-key, or --key a,b"),
        ('networks={"G": net}', 'networks={"G": net}'),
        ("ring:modes=8,std=0.1", "ring:modes=8,std=0.1"),
    ],
)
def test_sentences_name_options_as_the_command_line_takes_them(python, flags):
    assert as_flags(python) == flags


# ---------------------------------------------------------------- commands to copy


@pytest.mark.parametrize(
    ("folder", "on_path", "expected"),
    [
        (".", False, "'my env/bin/modecover'"),
        (".", True, "modecover"),
        ("my env/bin", False, "./modecover"),
        ("elsewhere", False, "'{root}/my env/bin/modecover'"),
    ],
)
def test_a_printed_command_is_the_one_of_this_installation(folder, on_path, expected, tmp_path, monkeypatch):
    binaries = tmp_path / "my env" / "bin"
    binaries.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for name in ("modecover", "python"):
        (binaries / name).touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(binaries / "python"))
    monkeypatch.setenv("PATH", str(binaries) if on_path else str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path / folder)
    assert own_command() == expected.format(root=tmp_path)
    (binaries / "modecover").unlink()
    assert own_command().endswith(" -m modecover")


def test_another_installation_on_the_path_is_not_ours(tmp_path, monkeypatch):
    for place in ("ours", "theirs"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "modecover").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "ours" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "theirs"))
    monkeypatch.chdir(tmp_path)
    assert own_command() == "ours/modecover"


def test_the_demo_s_next_command_is_one_that_train_takes():
    from modecover.cli.train import train_parser
    from modecover.experiments.demo import FIRST_IMAGES
    from modecover.methods import registry

    command_word, method, *words = FIRST_IMAGES.split()
    given = train_parser(method, registry.get(method)).parse(words)
    assert (command_word, given.data, given.width) == ("train", "digits", 16)
    assert given.minutes <= 2


@pytest.mark.parametrize(
    ("method", "part"),
    [
        ("pacgan", "a discriminator that judges 2 rows at once"),
        ("ali", "an encoder that returns a Gaussian for each row"),
        ("bigan", "D joint discriminator"),
        ("sngan", "norm_D = spectral"),
        ("mdgan", "keeps batch statistics of prior noise and of codes apart"),
    ],
)
def test_describe_tells_what_a_method_asks_of_its_networks(capsys, method, part):
    code, said, _ = say(capsys, "describe", method)
    assert code == 0
    assert part in " ".join(said.split())


def test_describe_tells_objective_schedule_settings_and_citation(capsys):
    code, said, _ = say(capsys, "describe", "ivlsgan")
    page = " ".join(said.split())
    assert code == 0
    for part in (
        "Intervention GAN over least squares",
        "G descends adv_G(G(z)) + lambda_G R - mu_G E [-log f_i(x')]",
        "Schedule of updates D -> [G, E]",
        "-> E x10 with --preset official",
        "E encoder",
        "--classifier-weight [0.5] Weight of f's cross-entropy",
        "--adversarial [ls]",
        "arXiv 2008.03712",
        "lr_E = 0.01",
        "encoder_steps = 10",
    ):
        assert part in page
