"""``Session``: run a compiled model as one runs an ONNX Runtime session."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from sliceflow.devices.base import LayerTrace, open_device
from sliceflow.errors import UserError
from sliceflow.graph.artifact import load_program
from sliceflow.graph.images import image_axis, put_together
from sliceflow.graph.program import Program, Value
from sliceflow.machine import cores
from sliceflow.runtime.cpu import CpuLayers
from sliceflow.runtime.executor import Executor, StepTime, step_name
from sliceflow.runtime.pool import ExecutorPool
from sliceflow.runtime.values import check_inputs, widened

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class NodeArg:
    """An input or output of the model.

    Attributes:
        name: its name.
        shape: with ``"N"`` for the axis along which any number of images may lie. Without it, an array of this shape
            stands for all images, or is one sample of several along a further axis in front.
        type: NumPy's name.
    """

    name: str
    shape: list[int | str]
    type: str


class Session:
    """A compiled model on a device.

    Threads may share it. Their images run beside each other on csim, the reference and the simulated RTL, each on an
    activation memory of its own; on a device that is one piece of hardware they wait for each other. The results are
    those of a lone thread. Use it in a ``with`` block, or call ``close``.

    Args:
        artifact: the folder that ``sliceflow deploy`` made, or a program.
        device: ``csim``, ``rtl`` or ``reference``.
        threads: host threads of one call, for CPU layers and simulated devices; all cores if omitted.
        trace: write the signals of one layer (``rtl`` only).

    Raises:
        UserError: the artifact is damaged, or the device cannot run here.
    """

    def __init__(
        self,
        artifact: str | Path | Program,
        device: str = "csim",
        threads: int | None = None,
        trace: LayerTrace | None = None,
    ) -> None:
        self.program = artifact if isinstance(artifact, Program) else load_program(Path(artifact))
        self._threads = threads or cores()
        opened = open_device(device, self.program, threads=threads, trace=trace)
        first = Executor(self.program, opened, CpuLayers(self.program, threads))
        # The layer to be traced is the first that runs, and only the device that was opened knows of it.
        self._pool = ExecutorPool(first, 0 if trace else max(self._threads, cores()))

    def get_inputs(self) -> list[NodeArg]:
        """The model's inputs."""
        return [_argument(value) for value in self.program.inputs]

    def get_outputs(self) -> list[NodeArg]:
        """The model's outputs."""
        return [_argument(value) for value in self.program.outputs]

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Array]) -> list[Array]:
        """Run a batch of any size. May be called from several threads at once.

        Args:
            output_names: the outputs wanted; all if ``None``.
            input_feed: an array for each input. Where the input's shape has "N", it holds the images; any other input
                is given in its own shape, for all images, or with one sample for each along a first axis of their own.
                For a float32 input it may be float16.

        Returns:
            One array for each output, with the results of all images (``sliceflow.graph.images.put_together``).

        Raises:
            UserError: a name, type or shape does not fit the model, results of images have different shapes, or the
                session is closed.
        """
        known = [value.name for value in self.program.outputs]
        wanted = known if output_names is None else list(output_names)
        for name in wanted:
            if name not in known:
                raise UserError(f"the model has no output {name!r}", fix=f"the outputs are {', '.join(known)}")
        feed = widened(self.program.inputs, input_feed)
        images = check_inputs(self.program.inputs, feed)
        with self._pool.call():
            results = self._run_images(images.images(), wanted)
        outputs = {value.name: value for value in self.program.outputs}
        inputs = self.program.inputs
        return [put_together(outputs[name], [result[name] for result in results], images, inputs) for name in wanted]

    @property
    def profile(self) -> list[StepTime]:
        """Wall time of each step since the session began, over all finished images, summed over the threads."""
        times = [executor.times for executor in self._pool.executors]
        images = sum(each.images for each in times)
        return [
            StepTime(*step_name(self.program, index), sum(each.seconds[index] for each in times), images)
            for index in range(len(self.program.steps))
        ]

    def close(self) -> None:
        """Give the device's memories back. Calls under way on other threads end first; later ones are refused."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run_images(self, images: list[dict[str, Array]], wanted: Sequence[str]) -> list[dict[str, Array]]:
        """A large batch uses devices beside each other, one thread each; a small one the whole device, in turn."""

        def work(image: dict[str, Array], *, whole: bool) -> dict[str, Array]:
            with self._pool.executor(whole=whole) as executor:
                values = executor.run(image)
            return {name: values[name] for name in wanted}

        if not len(images) >= self._threads > 1:
            return [work(image, whole=True) for image in images]
        threads = ThreadPoolExecutor(self._threads)
        try:
            return list(threads.map(functools.partial(work, whole=False), images))
        finally:
            threads.shutdown(cancel_futures=True)  # behind an error or an interrupt, the images that wait are not run


def _argument(value: Value) -> NodeArg:
    axis = image_axis(value)
    shape: list[int | str] = list(value.shape)
    if axis is not None or value.shape[:1] == (1,):
        shape[axis or 0] = "N"
    return NodeArg(value.name, shape, value.dtype)
