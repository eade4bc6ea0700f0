"""Counter-based random numbers: known answers, errors of the functions, distributions, independence."""

from __future__ import annotations

from typing import Any

import detector_oracle as oracle
import mpmath as mp
import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from scipy.special import lambertw

from nbragg import DetectorResponse, _engine
from nbragg.response.detect import detect

MEANS = (0.003, 0.7, 5, 9.99, 10, 11.5, 30, 200, 1e4, 3e6)
STAGES = _engine.STAGES
N = 400_000


def pixels(n: int, first: int = 0) -> npt.NDArray[np.uint64]:
    return np.arange(first, first + n, dtype=np.uint64)


def drawn(kind: str, n: int = N, seed: int = 1, image: int = 2, stage: int = 3, **more: Any) -> Any:
    return _engine.deviates(kind, seed, image, stage, pixels(n), **more)


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([2**32 - 1] * 4, [2**32 - 1] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_known_answers(counter: list[int], key: list[int], words: str) -> None:
    """Those of the generator's authors."""
    assert " ".join(f"{word:08x}" for word in _engine.philox(counter, key)) == words


def test_vectors() -> None:
    """Deviates of seed 1, image 2, pixel 3, stage 4."""
    at = (1, 2, 4, np.array([3], np.uint64))
    assert _engine.deviates("uniform", *at)[0].hex() == "0x1.9e6dd96b24eecp-3"
    assert _engine.deviates("second_uniform", *at)[0].hex() == "0x1.633c3b0577f3ep-2"
    assert _engine.deviates("normal", *at)[0] == -0.8332284206235554
    assert [_engine.deviates("poisson", *at, m)[0] for m in (0.5, 7, 25, 1e5)] == [0, 5, 20, 99703]


def test_stages_have_their_numbers() -> None:
    """They enter the counter: another number is another image."""
    assert STAGES == {
        "flicker": 1, "counting": 2, "charge": 3, "pattern": 4, "readout": 5, "dead": 6, "hot": 7,
        "dead_time": 8, "switch_point": 9,
    }  # fmt: skip


@pytest.mark.parametrize("seed", [0, 1, 2**32 + 5, 2**64 - 1])
@pytest.mark.parametrize("image", [0, 7, 2**32 + 9, 2**56 - 1])
def test_counter_and_key(seed: int, image: int) -> None:
    """All 64 bits of the seed and 56 of the image count, as do the pixel and the draw."""
    at = np.array([0, 1, 2**31, 2**32 - 1], np.uint64)
    for stage, draw in ((2, 0), (9, 1), (22, 2**32 - 1)):
        first, second = oracle.uniforms(seed, image, stage, at, draw)
        assert np.array_equal(_engine.deviates("uniform", seed, image, stage, at, draw=draw), first)
        assert np.array_equal(_engine.deviates("second_uniform", seed, image, stage, at, draw=draw), second)


def worst(found: Any, x: Any, function: Any, least: float = 0.0) -> float:
    """Largest relative error; values below ``least`` count as that large."""
    with mp.workdps(40):
        exact = [function(mp.mpf(float(v))) for v in x]
        pairs = zip(found.tolist(), exact, strict=True)
        return float(max(abs(mp.mpf(a) - b) / max(abs(b), mp.mpf(least)) for a, b in pairs if b != 0))


def test_functions() -> None:
    """Relative errors of the functions that all processors share."""
    rng = np.random.default_rng(1)
    x = np.concatenate(
        [10 ** rng.uniform(-300, 300, 400), 1 + np.array([-1, 1]) @ rng.uniform(0, 0.4, (2, 400))]
    )
    assert worst(_engine.exact_math("ln", x), x, mp.log) < 4e-16
    k = np.concatenate([np.arange(40.0), np.floor(10 ** rng.uniform(1, 12, 200))])
    assert worst(_engine.exact_math("ln_factorial", k), k, lambda v: mp.loggamma(v + 1)) < 4e-16
    u = np.concatenate(
        [rng.uniform(0, 1, 80), 10 ** rng.uniform(-16, -1, 80), 1 - 10 ** rng.uniform(-15, -1, 80)]
    )
    inverse = _engine.exact_math("normal", u)
    assert worst(inverse, u, lambda v: -mp.sqrt(2) * mp.erfinv(1 - 2 * v), 1e-3) < 1e-15
    y = np.linspace(0, 0.3678, 300)[1:]
    root = _engine.exact_math("lower_root", y)
    assert max(abs(x + lambertw(-v).real) for x, v in zip(root.tolist(), y.tolist(), strict=True)) < 1e-13
    assert _engine.exact_math("lower_root", np.array([0.0, 0.36787944117144233, 0.5, 1e9])).tolist() == [
        0,
        1,
        1,
        1,
    ]


def test_normal_deviates() -> None:
    """Their distribution, and those of the inverse's other pieces, which few deviates reach."""
    assert stats.kstest(drawn("normal"), "norm").pvalue > 1e-4
    extremes = _engine.exact_math("normal", np.array([2.0**-53, 1 - 2.0**-53]))
    assert extremes == pytest.approx([-8.209536151601387, 8.209536151601387], rel=1e-15)


def chi_squared(k: Any, distribution: Any, most: float) -> float:
    """Probability of a worse fit; 60 classes that are about equally likely."""
    edges = np.unique(distribution.ppf(np.linspace(0, 1, 61)[1:-1]))
    edges = edges[edges < most]
    expected = np.diff(np.concatenate([[0], distribution.cdf(edges), [1]])) * k.size
    found = np.bincount(np.searchsorted(edges, k), minlength=edges.size + 1)
    return float(stats.chisquare(found, expected).pvalue)


@pytest.mark.parametrize("mean", MEANS)
def test_poisson_distribution(mean: float) -> None:
    assert chi_squared(drawn("poisson", a=mean, seed=int(7 * mean)), stats.poisson(mean), np.inf) > 1e-4


@pytest.mark.parametrize(
    ("n", "p"), [(1, 0.3), (7, 0.5), (100, 0.02), (100, 0.2), (1000, 0.9), (1e5, 1e-5), (1e7, 0.7)]
)
def test_binomial_distribution(n: float, p: float) -> None:
    k = drawn("binomial", 100_000, a=n, b=p, seed=int(n))
    assert k.min() >= 0 and k.max() <= n
    assert chi_squared(k, stats.binom(int(n), p), n) > 1e-4


def test_large_means_are_normal() -> None:
    k = drawn("poisson", 20_000, a=4e9)
    assert np.array_equal(k, np.floor(k))
    assert stats.kstest((k - 4e9) / np.sqrt(4e9), "norm").pvalue > 1e-4


def test_deviates_are_those_of_the_rules() -> None:
    """Deviate by deviate, against the rules written out for arrays."""
    rng = np.random.default_rng(4)
    m = np.concatenate([[0, 10, 9.999999, 1e9, 1.1e9, 3e12], 10 ** rng.uniform(-4, 9.2, 3000)])
    at = (5, 6, 2, pixels(m.size, 2**32 - m.size))
    assert np.array_equal(_engine.deviates("poisson", *at, m), oracle.poisson(m, 5, 6, 2, at[3]))
    n = np.floor(10 ** rng.uniform(0, 7, 600))
    p = np.concatenate([[0, 1, 0.5], rng.uniform(0, 1, 297), 10 ** rng.uniform(-7, 0, 300)])
    found = _engine.deviates("binomial", *at[:3], pixels(600), n, p)
    assert np.array_equal(found, oracle.binomial(n, p, 5, 6, 2, pixels(600)))


def test_deviates_do_not_depend_on_each_other() -> None:
    """Correlation between images, stages, seeds and pixels next to each other: below 5 standard errors."""
    z = drawn("normal", 100_000)
    others = {
        "image": drawn("normal", 100_000, image=3),
        "stage": drawn("normal", 100_000, stage=4),
        "seed": drawn("normal", 100_000, seed=2),
        "draw": drawn("normal", 100_000, draw=1),
        "high word of the seed": drawn("normal", 100_000, seed=1 + 2**32),
        "next pixel": np.roll(z, 1),
        "second of the block": stats.norm.ppf(drawn("second_uniform", 100_000)),
    }
    for what, other in others.items():
        assert abs(np.corrcoef(z, other)[0, 1]) < 5 / np.sqrt(z.size), what


@pytest.mark.parametrize("isa", [name for name, there in _engine.isa_levels() if there])
def test_counts_of_vectors_are_the_deviates(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Single precision decides most small means; what it leaves open comes out the same."""
    monkeypatch.setenv("NBRAGG_ISA", isa)
    n = 512
    rng = np.random.default_rng(5)
    m = np.concatenate(
        [
            np.linspace(0.0, 10.1, 200 * n),
            10.0 ** rng.uniform(-12, 3, 200 * n),
            np.full(100 * n, 9.999999),
            [0.0, 1e-300, 5e-324, 1e9, 2e9, 9.99999999999, 10.0],
        ]
    )
    m = np.resize(m, (n + 3, n)).astype(np.float64)
    counter = DetectorResponse(kind="counting", bits=32)
    drawn = detect(m, counter, 11, image=3, pixel_um=(100.0, 100.0), exposure_s=1.0, energy_eV=12000.0)
    at = np.arange(m.size, dtype=np.uint64)
    stage = _engine.STAGES["counting"]
    expected = _engine.deviates("poisson", 11, 3, stage, at, m.reshape(-1))
    assert np.array_equal(drawn.pixels.reshape(-1), np.minimum(expected, 2**32 - 1))
