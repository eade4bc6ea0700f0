"""nbragg.torch.image is a function that PyTorch differentiates rightly, and refuses what it cannot."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from small import STEPS, image_at, simulator

import nbragg

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'nanobragg[torch]'")

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

SIMULATOR = simulator()
VALUES = dict(zip(STEPS, SIMULATOR.linearize(list(STEPS)).values.tolist(), strict=True))


def tensor(value: Any, **options: Any) -> Any:
    return torch.tensor(value, **{"dtype": torch.float64, "requires_grad": True, **options})


@pytest.mark.parametrize("name", STEPS)
def test_gradcheck(name: str) -> None:
    """Backward and forward mode against differences, in double precision.

    The parameter is given in units of 1000 steps, so that one ``eps`` suits all.
    """
    unit = 1000 * STEPS[name]

    def image(x: Any) -> Any:
        return 1e3 * nbragg.torch.image(SIMULATOR, {name: VALUES[name] + unit * x})

    assert image(tensor(0.0)).abs().max() > 1
    assert torch.autograd.gradcheck(image, (tensor(0.0),), eps=1e-5, atol=1e-4, check_forward_ad=True)


def test_gradcheck_of_a_group_in_single_precision() -> None:
    """A float32 image of float64 values.

    An image has rounding errors of 6e-8 of a pixel, differences with a step eps those of 6e-8 image / eps:
    with 0.03 degree 1e-5 of the image per degree, and the curvature adds as much again.  So the step is long
    and the tolerance that of the differences; the derivative itself is that of the float64 image, rounded.
    """
    turn = tensor([0.0, 0.0, 0.0])

    def image(turn: Any) -> Any:
        return 1e3 * nbragg.torch.image(SIMULATOR, {"crystal.rotation_deg": turn}, dtype=torch.float32)

    assert image(turn).dtype == torch.float32
    largest = float(image(turn).detach().abs().max())
    assert torch.autograd.gradcheck(image, (turn,), eps=0.03, atol=3e-3 * largest, rtol=1e-2)
    both = [
        torch.autograd.grad(
            nbragg.torch.image(SIMULATOR, {"crystal.rotation_deg": turn}, dtype=dtype).square().sum(), turn
        )[0]
        for dtype in (torch.float32, torch.float64)
    ]
    assert (both[0] - both[1]).abs().max() < 1e-6 * both[1].abs().max()


def test_values_and_dtypes() -> None:
    turn, edge = tensor([0.1, 0.2, -0.1]), tensor(70.5)
    image = nbragg.torch.image(SIMULATOR, {"crystal.rotation_deg": turn, "crystal.cell.a": edge})
    names = ["crystal.orientation", "crystal.cell.a"]
    assert image.dtype == torch.float64 and image.requires_grad
    assert np.array_equal(image.detach().numpy(), image_at(SIMULATOR, names, [0.1, 0.2, -0.1, 70.5]))
    single = nbragg.torch.image(SIMULATOR, {"crystal.cell.a": torch.tensor(70.5, requires_grad=True)})
    assert single.dtype == torch.float32
    single.sum().backward()
    image.sum().backward()
    expected = SIMULATOR.moved(names, [0.1, 0.2, -0.1, 70.5]).linearize(names).vjp(np.ones((16, 20)))
    assert (
        turn.grad.tolist() == list(expected.values())[:3] and edge.grad.item() == expected["crystal.cell.a"]
    )
    plain = nbragg.torch.image(SIMULATOR, {"crystal.cell.a": torch.tensor(70.5)})
    assert not plain.requires_grad


def test_the_image_is_a_copy() -> None:
    edge = tensor(70.0)
    image = nbragg.torch.image(SIMULATOR, {"crystal.cell.a": edge})
    (before,) = torch.autograd.grad(image.sum(), edge, retain_graph=True)
    with torch.no_grad():
        image += 1
    (after,) = torch.autograd.grad(image.sum(), edge)
    assert before == after


def test_adam_lowers_a_loss() -> None:
    data = nbragg.torch.image(SIMULATOR, {"crystal.rotation_deg": torch.tensor([0.15, -0.1, 0.1]).double()})
    turn = tensor([0.0, 0.0, 0.0])
    optimizer = torch.optim.Adam([turn], lr=0.02)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = (nbragg.torch.image(SIMULATOR, {"crystal.rotation_deg": turn}) - data).square().sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]
    assert (turn.detach() - torch.tensor([0.15, -0.1, 0.1])).abs().max() < 0.05


def test_backward_in_another_thread() -> None:
    edge = tensor(70.0)
    loss = nbragg.torch.image(SIMULATOR, {"crystal.cell.a": edge}).sum()
    thread = threading.Thread(target=loss.backward)
    thread.start()
    thread.join()
    assert (
        edge.grad.item() == SIMULATOR.linearize(["crystal.cell.a"]).vjp(np.ones((16, 20)))["crystal.cell.a"]
    )


def test_functional_transforms() -> None:
    turn, distance = torch.zeros(3).double(), torch.tensor(100.0).double()

    def image(turn: Any, distance: Any) -> Any:
        values = {"crystal.rotation_deg": turn, "detector.distance_mm": distance}
        return nbragg.torch.image(SIMULATOR, values)

    J = SIMULATOR.linearize(["crystal.rotation_deg", "detector.distance_mm"]).jacobian()
    for transform in (torch.func.jacrev, torch.func.jacfwd):
        by_turn, by_distance = transform(image, argnums=(0, 1))(turn, distance)
        assert np.abs(by_turn.numpy() - np.moveaxis(J[:3], 0, -1)).max() <= 1e-12 * np.abs(J[:3]).max()
        assert np.abs(by_distance.numpy() - J[3]).max() <= 1e-12 * np.abs(J[3]).max()
    gradient = torch.func.grad(lambda turn: image(turn, distance).sum())(turn)
    assert np.allclose(gradient.numpy(), J[:3].sum(axis=(1, 2)), rtol=1e-9)


def test_second_derivatives_are_refused() -> None:
    edge = tensor(70.0)

    def total(edge: Any) -> Any:
        return nbragg.torch.image(SIMULATOR, {"crystal.cell.a": edge}).sum()

    (gradient,) = torch.autograd.grad(total(edge), edge, create_graph=True)
    with pytest.raises(nbragg.InputError, match="first derivatives only"):
        gradient.backward()
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(edge, torch.ones(()).double())
        tangent = torch.autograd.forward_ad.unpack_dual(total(dual)).tangent
        with pytest.raises(nbragg.InputError, match="first derivatives only"):
            tangent.backward()
    with pytest.raises(nbragg.InputError, match="first derivatives only"):
        torch.func.hessian(total)(edge.detach())


def test_refusals() -> None:
    image = nbragg.torch.image
    for values, complaint in (
        ({}, "no parameter is given"),
        ({"crystal.cel.a": tensor(70.0)}, "did you mean 'crystal.cell.a'"),
        ({"crystal.cell.a": 70.0}, "a tensor of its value was expected"),
        ({"crystal.cell.a": torch.tensor(70)}, "dtype torch.int64"),
        ({"crystal.cell.a": torch.tensor(70.0).bfloat16()}, "dtype torch.bfloat16"),
        ({"crystal.rotation_deg": tensor(0.0)}, "3 numbers were expected"),
        (
            {"crystal.rotation_deg": tensor([0.0] * 3), "crystal.rotation_deg[1]": tensor(0.0)},
            r"rotation_deg\[1\]: given twice",
        ),
        ({"detector.distance_mm": tensor(-5.0)}, "distance_mm must be"),
        ({"detector.distance_mm": tensor(np.nan)}, "distance_mm must be"),
    ):
        with pytest.raises(nbragg.InputError, match=complaint):
            image(SIMULATOR, values)
    with pytest.raises(nbragg.InputError, match=r"torch\.float64 or torch\.float32"):
        image(SIMULATOR, {"crystal.cell.a": tensor(70.0)}, dtype=torch.float16)
    with pytest.raises(nbragg.InputError, match=r"torch\.func\.vmap"):
        torch.func.vmap(lambda edge: image(SIMULATOR, {"crystal.cell.a": edge}))(torch.tensor([70.0, 71.0]))
    edge = tensor(70.0)
    with pytest.raises(nbragg.InputError, match="cotangent is nan"):
        (image(SIMULATOR, {"crystal.cell.a": edge}) * np.nan).sum().backward()


@pytest.mark.skipif("torch.cuda.is_available()", reason="a GPU is there")
def test_tensors_stay_on_their_device() -> None:
    image = nbragg.torch.image(SIMULATOR, {"crystal.cell.a": tensor(70.0)})
    assert image.device == torch.device("cpu")


@pytest.mark.gpu
@pytest.mark.skipif("not torch.cuda.is_available()", reason="needs a GPU and a PyTorch that uses it")
def test_tensors_on_a_gpu() -> None:
    edge = tensor(70.0, device="cuda")
    image = nbragg.torch.image(SIMULATOR, {"crystal.cell.a": edge})
    assert image.device.type == "cuda"
    image.sum().backward()
    on_host = SIMULATOR.linearize(["crystal.cell.a"]).vjp(np.ones((16, 20)))["crystal.cell.a"]
    assert edge.grad.device.type == "cuda" and abs(edge.grad.item() / on_host - 1) < 1e-12
