"""The metrics, with arrays that are none, empty, of wrong shapes and types, and with counts that cannot be."""

from __future__ import annotations

from collections.abc import Iterator

from hostile_inputs.record import Input, python

HEAD = (
    "from modecover.metrics import *\nx = np.random.default_rng(0).normal(size=(40, 2))\nlabels = np.arange(40) % 4\n"
)

NO_ROWS = (
    *(
        "None",
        "5",
        "'x'",
        "[]",
        "[[]]",
        "np.zeros((0, 2))",
        "np.zeros((5, 0))",
        "np.zeros(5)",
        "np.zeros((5, 2, 2))",
        "object()",
        "{}",
    ),
    *("np.full((40, 2), np.nan)", "np.full((40, 2), np.inf)", "np.ones((40, 2), complex)", "np.full((40, 2), 'a')"),
    *(
        "np.array([[None, 1]] * 40)",
        "[[1.0], [1.0, 2.0]]",
        "torch.ones(40, 2, device='meta')",
        "torch.eye(40, 2).to_sparse()",
    ),
    *("np.full((40, 2), np.datetime64('2020-01-01'))", "torch.ones(40, 2, dtype=torch.complex64)", "np", "lambda: x"),
)

OF_ROWS = (
    *(
        "frechet_distance({}, x)",
        "frechet_distance(x, {})",
        "frechet_latent_distance({})",
        "kernel_distance({}, x)",
        "vendi_score({})",
    ),
    *(
        "neighbour_statistics({}, x)",
        "neighbour_statistics(x, {})",
        "neighbour_statistics(x, x, train={})",
        "wasserstein({}, x)",
    ),
    *(
        "fit_bins({})",
        "fit_bins(x, bins=4).of({})",
        "mixture_modes({}, np.eye(2), 0.1)",
        "mixture_modes(x, {}, 0.1)",
        "equal_rows({})",
    ),
    *("gaussian_statistics({})", "draw_mixture({}, 0.1)"),
)

NO_LABELS = (
    "None",
    "5",
    "'x'",
    "[]",
    "[0.5] * 40",
    "[-1] * 40",
    "[99] * 40",
    "np.zeros((4, 2), int)",
    "[None] * 40",
    "['a'] * 40",
    "np.full(40, np.nan)",
    "np.full(40, 2**64 - 1, dtype=np.uint64)",
    "[[1], [1, 2]]",
    "object()",
)

OF_LABELS = (
    "label_modes({}, 4)",
    "label_modes(labels, 4, reference={})",
    "label_law({}, 4)",
    "compare_bins({}, labels, 4)",
    "compare_bins(labels, {}, 4)",
)

COUNTS = (
    *(
        "label_modes(labels, 0)",
        "label_modes(labels, -1)",
        "label_modes(labels, 'x')",
        "label_modes(labels, None)",
        "label_modes(labels, 4.5)",
    ),
    *(
        "label_modes(labels, 10**12)",
        "neighbour_statistics(x, x, k=0)",
        "neighbour_statistics(x, x, k=40)",
        "neighbour_statistics(x, x, k='5')",
    ),
    *(
        "neighbour_statistics(x, x, k=1.5)",
        "neighbour_statistics(x, x, memory=0)",
        "neighbour_statistics(x, x, memory='1GB')",
    ),
    *(
        "neighbour_statistics(x, x, subsets=0)",
        "neighbour_statistics(x, x, subset_size=1)",
        "neighbour_statistics(x, x, k=None)",
    ),
    *(
        "neighbour_statistics(x, x, seed=None)",
        "neighbour_statistics(x, x, seed='x')",
        "neighbour_statistics(x, x, seed=-1)",
    ),
    *(
        "wasserstein(x, x, order=3)",
        "wasserstein(x, x, order=0)",
        "wasserstein(x, x, order='x')",
        "wasserstein(x, x, limit=0)",
    ),
    *(
        "wasserstein(x, x, limit=None)",
        "wasserstein(x, x, seed=-1)",
        "fit_bins(x, bins=0)",
        "fit_bins(x, bins=-1)",
        "fit_bins(x, bins='x')",
    ),
    *(
        "fit_bins(x, bins=1.5)",
        "fit_bins(x, rounds=-1)",
        "fit_bins(x, seed=None)",
        "compare_bins(labels, labels, 0)",
        "compare_bins(labels, labels, None)",
    ),
    *(
        "compare_bins(labels, labels, 4, level=2)",
        "compare_bins(labels, labels, 4, level='x')",
        "compare_bins(labels, labels, 4, level=float('nan'))",
    ),
    *(
        "mixture_modes(x, np.eye(2), 0)",
        "mixture_modes(x, np.eye(2), -1)",
        "mixture_modes(x, np.eye(2), float('nan'))",
        "mixture_modes(x, np.eye(2), 'x')",
    ),
    *(
        "mixture_modes(x, np.eye(2), None)",
        "mixture_modes(x, np.eye(2), 0.1, [1])",
        "mixture_modes(x, np.eye(2), 0.1, [0, 0])",
    ),
    *(
        "mixture_modes(x, np.eye(2), 0.1, [-1, 2])",
        "mixture_modes(x, np.eye(2), 0.1, 'x')",
        "mixture_modes(x, np.eye(3), 0.1)",
    ),
    *(
        "mixture_modes(x, np.eye(2), 0.1, [np.nan, 1])",
        "draw_mixture(np.eye(2), 0.1, count=0)",
        "draw_mixture(np.eye(2), 0.1, count=-1)",
    ),
    *(
        "draw_mixture(np.eye(2), 0.1, count='x')",
        "draw_mixture(np.eye(2), 0.1, count=10**13)",
        "draw_mixture(np.eye(2), 0.1, seed=None)",
    ),
    *(
        "ideal_sampler_row(np.eye(2), 0.1, count=0)",
        "ideal_sampler_row(np.eye(2), 'x')",
        "expected_floor(0, 4)",
        "expected_floor(-1, 4)",
    ),
    *(
        "expected_floor(10, 0)",
        "expected_floor('x', 4)",
        "expected_floor(10, 4, [1, 2])",
        "expected_floor(10, 4, repeats=0)",
        "expected_floor(10**30, 4)",
    ),
    *(
        "expected_floor(10, 10**13)",
        "expected_floor(10, None)",
        "expected_coverage(0, 10, 5)",
        "expected_coverage(10, 10, 0)",
        "expected_coverage(10, 10, 10)",
    ),
    *(
        "expected_coverage('x', 10, 5)",
        "expected_coverage(10, 10, None)",
        "expected_coverage(10.5, 10, 5)",
        "holm(None)",
        "holm(['x'])",
        "holm([2.0])",
    ),
    *(
        "holm([np.nan])",
        "holm([-0.1])",
        "holm([[0.1]])",
        "inception_score([])",
        "inception_score(None)",
        "inception_score([[2.0, -1.0]])",
    ),
    *(
        "inception_score([[np.nan, 1.0]])",
        "inception_score([0.5, 0.5])",
        "inception_score('x')",
        "inception_score([[0.0, 0.0]])",
    ),
    *(
        "mode_scores([[0.5, 0.5]], [[1.0]])",
        "mode_scores(None, None)",
        "mode_scores([[0.5, 0.5]], [[0.2, 0.2]])",
        "mode_scores([[0.5, 0.5]], [])",
    ),
    *(
        "support_size([])",
        "support_size(None)",
        "support_size('x')",
        "support_size([0.5])",
        "support_size([-1])",
        "support_size([np.nan])",
    ),
    *(
        "stacked_law([], 3)",
        "stacked_law([1, 2], 0)",
        "stacked_law([1, 2], 40)",
        "stacked_law(['x'], 2)",
        "stacked_law([11], 2)",
        "stacked_law(None, 2)",
    ),
    *(
        "stacked_law([1, 2], 2.5)",
        "frechet_from_statistics(None, None, None, None)",
        "frechet_from_statistics([0], [[1]], [0, 0], [[1]])",
    ),
    *("frechet_from_statistics([0], [[-1]], [0], [[1]])", "frechet_from_statistics([0], [[np.nan]], [0], [[1]])"),
    *(
        "frechet_from_statistics([0, 0], [[1, 5], [0, 1]], [0, 0], np.eye(2))",
        "frechet_from_statistics([0], [1], [0], [[1]])",
    ),
    *(
        "frechet_from_statistics('x', [[1]], [0], [[1]])",
        "frechet_distance(x, x[:, :1])",
        "frechet_distance(x[:1], x)",
        "kernel_distance(x[:1], x)",
    ),
    *(
        "kernel_distance(x, x[:, :1])",
        "frechet_distance(x * 1e300, x)",
        "train_digit_classifier(None, None)",
    ),
    *(
        "train_digit_classifier(x, labels)",
        "train_digit_classifier(np.zeros((0, 28, 28)), [])",
        "train_digit_classifier(np.zeros((40, 28, 28), np.uint8), labels[:5])",
    ),
    *(
        "train_digit_classifier(np.zeros((40, 28, 28), np.uint8), labels, steps=-1)",
        "train_digit_classifier(np.zeros((40, 28, 28), np.uint8), labels * 5)",
    ),
    *(
        "train_digit_classifier(np.zeros((40, 28, 28), np.uint8), labels, device='tpu9')",
        "DigitClassifier.load('nowhere')",
        "DigitClassifier.load(None)",
    ),
    *(
        "DigitClassifier.load('.')",
        "DigitClassifier.load('/dev/zero')",
        "cached_digit_classifier(None, None, None)",
        "stacked_labels(None, x)",
    ),
    *("stacked_modes(x, None)", "stacked_modes(None, None)", "ideal_sampler_row(np.eye(2), 0.1, [1, 1, 1])"),
)
"""Calls that ask for what cannot be."""

TOO_LARGE = (
    *("frechet_distance(x, x * 1e160)", "frechet_latent_distance(x * 1e160)"),
    *("gaussian_statistics(x * 1e160)", "frechet_from_statistics(x[0] * 1e160, np.eye(2), x[0], np.eye(2))"),
    *("frechet_from_statistics(x[0], np.eye(2) * 1e305, x[0], np.eye(2))", "wasserstein(x, x * 1e160)"),
    *("wasserstein(x * 1e160, x, order=2)", "fit_bins(x * 1e160)", "fit_bins(x).of(x * 1e160)"),
    *("kernel_distance(x, x * 1e160)", "neighbour_statistics(x * 1e160, x)"),
)
"""Numbers whose squares float64 does not hold."""

TAKEN = (
    "frechet_distance(x.astype(np.float16), x)",
    "frechet_distance(torch.tensor(x, requires_grad=True), x)",
    "frechet_distance(x.tolist(), torch.tensor(x).bfloat16())",
    "frechet_distance((x * 10).astype(int), x[::-1])",
    "frechet_distance(np.ones((40, 2)), np.ones((40, 2)))",
    "neighbour_statistics(np.ones((40, 2)), np.ones((40, 2)))",
    "vendi_score(np.ones((40, 2)))",
    "vendi_score(x * 1e300)",
    "frechet_distance(x * 1e150, x * 1.1e150)",
    "frechet_distance(x[:5].repeat(9, 1) * 1e150, x[:6].repeat(9, 1) * 1e150)",
    "wasserstein(x * 1e150, x)",
    "holm([])",
    "fit_bins(np.ones((40, 2)), bins=3)",
    "wasserstein(np.ones((40, 2)), x)",
    "label_modes(torch.arange(40) % 4, 4)",
    "label_modes(labels.astype(np.uint8), np.int64(4))",
    "equal_rows(np.ones((40, 2)))",
    "mixture_modes(x, np.eye(2).tolist(), np.float32(0.1))",
    "mixture_modes(x.astype(np.float32) * 1e30, np.eye(2), 0.1)",
    "kernel_distance(x.astype('>f8'), np.asfortranarray(x))",
)


def inputs() -> Iterator[Input]:
    for call in OF_ROWS:
        for value in NO_ROWS:
            # A row that is not finite is simply not of high quality; and equal rows may be of any shape.
            unmeasured = call.startswith("mixture_modes({}") and value.endswith(("np.nan)", "np.inf)"))
            soft = unmeasured or "equal_rows" in call or ("train" in call and value == "None")
            yield python(HEAD + call.format(value), name=call.format(value), right="either" if soft else "refused")
    for call in OF_LABELS:
        for value in NO_LABELS:
            soft = value == "None" and "reference" in call
            yield python(HEAD + call.format(value), name=call.format(value), right="either" if soft else "refused")
    for call in COUNTS:
        yield python(HEAD + call, name=call)
    for call in TOO_LARGE:
        yield python(HEAD + call, name=call)
    for call in TAKEN:
        yield python(HEAD + call, name=f"taken: {call}", right="accepted")
