"""Each network against its paper's layer list, its parameter count and the image sizes it says it takes."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from pinprick.errors import InputError, UnknownNameError
from pinprick.models.blocks import Shape
from pinprick.models.registry import NETS, build_net, net_names, net_spec
from pinprick.models.resnet32 import Block

CIFAR: Shape = (3, 32, 32)
MNIST: Shape = (1, 28, 28)
DIGITS: Shape = (1, 8, 8)


def logits(name: str, shape: Shape, classes: int = 10) -> torch.Tensor:
    torch.manual_seed(0)
    net = build_net(name, classes, shape).eval()
    with torch.inference_mode():
        result: torch.Tensor = net(torch.rand(2, *shape))
    return result


def layers(net: nn.Module) -> list[str]:
    """Layers with weights and pools in the order they were made: ``96-3/2`` is 96 channels, kernel 3, stride 2."""
    found = []
    for module in net.modules():
        stride = getattr(module, "stride", 1)
        step = f"/{stride if isinstance(stride, int) else stride[0]}"
        if isinstance(module, nn.Conv2d):
            found.append(f"{module.out_channels}-{module.kernel_size[0]}{step}".removesuffix("/1"))
        elif isinstance(module, nn.MaxPool2d):
            found.append(f"max {module.kernel_size}{step}")
        elif isinstance(module, nn.AvgPool2d):
            kernel = module.kernel_size
            found.append(f"average {kernel if isinstance(kernel, int) else kernel[0]}{step}")
        elif isinstance(module, nn.Linear):
            found.append(f"linear {module.out_features}")
        elif isinstance(module, nn.AdaptiveAvgPool2d):
            found.append(f"mean {module.output_size}")
    return found


LAYERS = {
    "allconv": (CIFAR, "96-3 96-3 96-3/2 192-3 192-3 192-3/2 192-3 192-1 10-1 mean_1"),
    "nin": (CIFAR, "192-5 160-1 96-1 max_3/2 192-5 192-1 192-1 average_3/2 192-3 192-1 10-1 mean_1"),
    "vgg16": (
        CIFAR,
        "64-3 64-3 max_2/2 128-3 128-3 max_2/2 256-3 256-3 256-3 max_2/2 512-3 512-3 512-3 max_2/2 "
        "512-3 512-3 512-3 mean_1 linear_10",
    ),
    "lenet": (MNIST, "6-5 max_2/2 16-5 max_2/2 linear_120 linear_84 linear_10"),
    "cnn": (DIGITS, "32-3 64-3/2 64-3 mean_2 linear_10"),
    "fc": (MNIST, "linear_10"),
    "fc-100-100": (MNIST, "linear_100 linear_100 linear_10"),
    "fc-500-150": (MNIST, "linear_500 linear_150 linear_10"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_those_of_the_paper(name: str) -> None:
    shape, expected = LAYERS[name]
    assert layers(build_net(name, 10, shape)) == [layer.replace("_", " ") for layer in expected.split()]


def test_resnet32_has_five_blocks_each_of_16_32_64_channels_and_no_parameters_in_shortcuts() -> None:
    net = build_net("resnet32", 10, CIFAR)
    blocks = [module for module in net.modules() if isinstance(module, Block)]
    assert [block.conv1.out_channels for block in blocks] == [16] * 5 + [32] * 5 + [64] * 5
    assert [block.stride for block in blocks] == [1] * 5 + [2] + [1] * 4 + [2] + [1] * 4
    weighted = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(weighted) == 32
    assert all(conv.kernel_size == (3, 3) for conv in weighted if isinstance(conv, nn.Conv2d))


def test_resnet_shortcut_takes_every_second_pixel_and_pads_channels_with_zeros() -> None:
    block = Block(16, 32, 2).eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.rand(1, 16, 8, 8)
    with torch.inference_mode():
        y = block(x)
    assert y.shape == (1, 32, 4, 4)
    torch.testing.assert_close(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()


PARAMETERS = [
    # Convolutions (without bias), batch norms (two values a channel), last layer with bias; counted by hand.
    ("allconv", 10, CIFAR, 1_366_560 + 2 * 1248 + 1_930),
    ("nin", 10, CIFAR, 963_648 + 2 * 1408 + 1_930),
    ("vgg16", 10, CIFAR, 14_710_464 + 2 * 4224 + 5_130),
    # He et al. 2015, table 6: 0.46 M.
    ("resnet32", 10, CIFAR, 464_154),
    # LeCun et al. 1998 with all maps joined in C3.
    ("lenet", 10, MNIST, 61_706),
    ("lenet", 10, CIFAR, 62_006),
    ("cnn", 10, DIGITS, 55_584 + 2 * 160 + 2_570),
    # Iandola et al. 2016, table 1: 1 248 424.
    ("squeezenet", 1000, (3, 227, 227), 1_248_424),
    ("fc", 10, MNIST, 7_850),
    ("fc-100-100", 10, MNIST, 89_610),
    ("fc-500-150", 10, MNIST, 469_160),
]


@pytest.mark.parametrize(("name", "classes", "shape", "count"), PARAMETERS)
def test_parameter_count(name: str, classes: int, shape: Shape, count: int) -> None:
    with torch.device("meta"):
        net = build_net(name, classes, shape)
    assert sum(parameter.numel() for parameter in net.parameters()) == count


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("allconv", CIFAR),
        ("nin", CIFAR),
        ("vgg16", CIFAR),
        ("resnet32", CIFAR),
        ("lenet", MNIST),
        ("lenet", CIFAR),
        ("cnn", DIGITS),
        ("cnn", MNIST),
        ("fc", DIGITS),
        ("fc-7-5", CIFAR),
        ("squeezenet", (3, 64, 64)),
    ],
)
def test_ten_finite_logits_an_image_at_the_named_sizes(name: str, shape: Shape) -> None:
    result = logits(name, shape)
    assert result.shape == (2, 10)
    assert result.dtype == torch.float32
    assert torch.isfinite(result).all()


@pytest.mark.parametrize("name", [*NETS, "fc-9"])
@pytest.mark.parametrize("channels", [1, 3])
def test_smallest_and_oblong_images_work_and_smaller_ones_are_refused(name: str, channels: int) -> None:
    smallest = net_spec(name).smallest
    for height, width in ((smallest, smallest), (smallest, smallest + 5), (smallest + 9, smallest)):
        assert logits(name, (channels, height, width), classes=3).shape == (2, 3)
    if smallest > 1:
        with pytest.raises(InputError, match=f"It takes {smallest} x {smallest} or larger"):
            build_net(name, 3, (channels, smallest + 5, smallest - 1))


@pytest.mark.parametrize("name", [*NETS, "fc-9"])
def test_trains_at_its_smallest_size(name: str) -> None:
    size = net_spec(name).smallest
    net = build_net(name, 2, (1, size, size)).train()
    net(torch.rand(2, 1, size, size)).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_fc_is_linear_and_fc_with_a_hidden_layer_is_not() -> None:
    def bent(name: str) -> float:
        torch.manual_seed(0)
        net = build_net(name, 4, (1, 5, 5)).eval()
        a, b = torch.rand(2, 1, 5, 5), torch.rand(2, 1, 5, 5)
        with torch.inference_mode():
            return float((net((a + b) / 2) - (net(a) + net(b)) / 2).abs().max())

    assert bent("fc") < 1e-6
    assert bent("fc-20") > 1e-4


@pytest.mark.parametrize("name", net_names())
def test_the_seed_decides_the_weights(name: str) -> None:
    shape: Shape = (3, 32, 32)
    nets = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        nets.append(next(iter(build_net(name, 2, shape).parameters())))
    assert torch.equal(nets[0], nets[1])
    assert not torch.equal(nets[0], nets[2])


def test_unknown_network_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(UnknownNameError, match=r"there is no 'lennet'. Did you mean lenet"):
        build_net("lennet", 10, MNIST)
    with pytest.raises(UnknownNameError, match=re.escape("Did you mean fc-100-100")):
        net_spec("fc-100-")
    for name in ("", "FC", "fc100", "fc-1.5", "fc--3", "fc-١٠"):
        with pytest.raises(UnknownNameError, match="Known: allconv, cnn, fc-100-100, lenet"):
            net_spec(name)


@pytest.mark.parametrize(
    ("name", "classes", "shape", "message"),
    [
        ("lenet", 1, MNIST, "1 classes. A classifier needs two or more"),
        ("lenet", 0, MNIST, "0 classes"),
        ("vgg16", 10, DIGITS, "images of 8 x 8 pixels. It takes 16 x 16 or larger"),
        ("allconv", 10, (0, 32, 32), "images of 0 channels"),
        ("fc-10-0", 10, MNIST, "a hidden layer of width 0. Give widths of 1 to 65536"),
        ("fc-65537", 10, MNIST, "a hidden layer of width 65537"),
    ],
)
def test_what_cannot_be_built_is_refused(name: str, classes: int, shape: Shape, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        build_net(name, classes, shape)
    assert f"network {name!r}" in str(caught.value)
