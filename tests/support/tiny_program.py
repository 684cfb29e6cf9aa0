"""A program built by hand: one 3x3 convolution (3 to 5 channels, 6x7 pixels), and what it must compute.

The packing here is written anew from docs/program.md, so that it does not share the mapper's mistakes.
"""

from __future__ import annotations

import numpy as np

from sliceflow.graph.descriptor import Descriptor, Op
from sliceflow.graph.program import (
    FpgaStep,
    Layer,
    Program,
    Run,
    Tensor,
    TransformStep,
    Value,
    encode_descriptors,
)
from sliceflow.hardware.profile import Profile

CHANNELS_IN, CHANNELS_OUT, HEIGHT, WIDTH = 3, 5, 6, 7
SCALE_IN, SCALE_OUT, ZERO_IN, ZERO_OUT, SHIFT = 0.05, 0.25, 131, 7, 33


def weights(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights ``[O][I][3][3]``, biases and multipliers."""
    generator = np.random.default_rng(seed)
    kernel = generator.integers(-128, 128, (CHANNELS_OUT, CHANNELS_IN, 3, 3))
    bias = generator.integers(-2000, 2000, CHANNELS_OUT)
    multiplier = generator.integers(1 << 23, 1 << 24, CHANNELS_OUT)
    return kernel, bias, multiplier


def tiny_program(seed: int = 0) -> Program:
    """The program: ``x`` float32 (N, 3, 6, 7), stored as uint8, to ``y`` float32 (N, 5, 6, 7), stored as int8."""
    profile = Profile.load("int8-4x4")
    kernel, bias, multiplier = weights(seed)
    zero_in = ZERO_IN - 128
    blocks = np.zeros((2, 9, 4, 4), np.int8)
    lanes = np.zeros((2, 4), [("bias", "<i4"), ("multiplier", "<i4"), ("shift", "u1"), ("rest", "u1", 7)])
    for o in range(CHANNELS_OUT):
        blocks[o // 4, :, :CHANNELS_IN, o % 4] = kernel[o].reshape(CHANNELS_IN, 9).T
        lanes[o // 4, o % 4] = (bias[o] - zero_in * kernel[o].sum(), multiplier[o], SHIFT, np.zeros(7, np.uint8))
    weight_memory = np.zeros((2, profile.weight_block_bytes), np.uint8)
    weight_memory[:, : 9 * 16] = blocks.reshape(2, -1).view(np.uint8)
    lanes_base = 8  # behind one descriptor of eight beats
    layer = Descriptor(
        op=Op.CONV,
        in_height=HEIGHT,
        in_width=WIDTH,
        taps_y=3,
        taps_x=3,
        pad_top=1,
        pad_left=1,
        pad_value=zero_in,
        conv_height=HEIGHT,
        conv_width=WIDTH,
        lanes_base=lanes_base,
        out_zero=ZERO_OUT,
        out_low=-128,
        out_high=127,
        pool_height=HEIGHT,
        pool_width=WIDTH,
        out_base=HEIGHT * WIDTH,
        out_slices=2,
        strip_rows=2,
        strip_count=3,
        out_count=2,
    )
    program_memory = np.frombuffer(encode_descriptors([layer], profile) + lanes.tobytes(), np.uint8).copy()
    pixels = HEIGHT * WIDTH
    return Program(
        name="tiny",
        source_sha256="0" * 64,
        profile=profile,
        inputs=(Value(name="x", shape=(0, CHANNELS_IN, HEIGHT, WIDTH), dtype="float32"),),
        outputs=(Value(name="y", shape=(0, CHANNELS_OUT, HEIGHT, WIDTH), dtype="float32"),),
        tensors={
            "x_q": Tensor(
                name="x_q",
                channels=CHANNELS_IN,
                height=HEIGHT,
                width=WIDTH,
                runs=(Run(channel=0, count=CHANNELS_IN, slice=0),),
                slices=1,
                base=0,
                dtype="uint8",
                scale=SCALE_IN,
                zero_point=ZERO_IN,
            ),
            "y_q": Tensor(
                name="y_q",
                channels=CHANNELS_OUT,
                height=HEIGHT,
                width=WIDTH,
                runs=(Run(channel=0, count=CHANNELS_OUT, slice=0),),
                slices=2,
                base=pixels,
                dtype="int8",
                scale=SCALE_OUT,
                zero_point=ZERO_OUT,
            ),
        },
        layers=(
            Layer(name="to_device:x_q", placement="transform", op="slice", reason="", inputs=("x",), outputs=("x_q",)),
            Layer(
                name="conv",
                placement="fpga",
                op="Conv 3x3",
                reason="the accelerator has all its operators",
                nodes=("conv",),
                inputs=("x_q",),
                outputs=("y_q",),
                macs=9 * CHANNELS_IN * CHANNELS_OUT * pixels,
                ideal_cycles=2 * pixels,
                predicted_cycles=3 * pixels,
                channels_in=CHANNELS_IN,
                channels_out=CHANNELS_OUT,
                channels_in_computed=4,
                channels_out_computed=8,
                lanes_used=15 / 32,
            ),
            Layer(name="to_host:y_q", placement="transform", op="unslice", reason="", inputs=("y_q",), outputs=("y",)),
        ),
        steps=(
            TransformStep(
                direction="to_device",
                value="x",
                tensor="x_q",
                shape=(1, CHANNELS_IN, HEIGHT, WIDTH),
                dtype="float32",
            ),
            FpgaStep(first=0, count=1),
            TransformStep(
                direction="to_host", value="y", tensor="y_q", shape=(1, CHANNELS_OUT, HEIGHT, WIDTH), dtype="float32"
            ),
        ),
        descriptors=(layer,),
        program=program_memory,
        weights=weight_memory.reshape(-1),
        activation_words=3 * pixels,
        cpu_models={},
    )


def expected(x: np.ndarray, seed: int = 0) -> np.ndarray:
    """What ``tiny_program`` must return: a direct convolution in Python integers and exact fractions.

    Args:
        x: (N, 3, 6, 7) float32.
        seed: of the weights.
    """
    kernel, bias, multiplier = weights(seed)
    q = np.clip(np.rint(x / np.float32(SCALE_IN)) + ZERO_IN, 0, 255).astype(np.int64) - ZERO_IN
    q = np.pad(q, ((0, 0), (0, 0), (1, 1), (1, 1)))
    result = np.empty((len(x), CHANNELS_OUT, HEIGHT, WIDTH), np.float32)
    for n, o, row, column in np.ndindex(result.shape):
        total = int((q[n, :, row : row + 3, column : column + 3] * kernel[o]).sum()) + int(bias[o])
        product = total * int(multiplier[o])
        floor, rest = product >> SHIFT, product & ((1 << SHIFT) - 1)
        half = 1 << (SHIFT - 1)
        rounded = floor + (rest > half or (rest == half and floor % 2 == 1))
        stored = min(127, max(-128, ZERO_OUT + rounded))
        result[n, o, row, column] = np.float32(stored - ZERO_OUT) * np.float32(SCALE_OUT)
    return result


def images(count: int, seed: int) -> np.ndarray:
    """Random inputs that use the whole range and a little more."""
    generator = np.random.default_rng(seed)
    return generator.normal(0, 3.5, (count, CHANNELS_IN, HEIGHT, WIDTH)).astype(np.float32)
