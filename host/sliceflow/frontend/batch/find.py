"""Which axes of a model's inputs and outputs count images: proved on the graph, not assumed."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence

import onnx_ir as ir

from sliceflow.errors import UserError
from sliceflow.frontend.batch import trial
from sliceflow.frontend.batch.follow import follow
from sliceflow.frontend.batch.lines import Line, MixedError, Spread, State, UnruledError
from sliceflow.frontend.batch.sizes import (
    contradiction,
    counts_images,
    rewrite_constants,
    rewrite_targets,
    unusual,
    verify_constants,
    with_images,
)
from sliceflow.frontend.shapes import forget_shapes, infer_shapes
from sliceflow.passes.view import dims, static_shape, trains

logger = logging.getLogger(__name__)
_MOST_TRIALS = 8
"""Nodes without a rule that are tried out before we give up."""


@dataclasses.dataclass(frozen=True)
class Mixing:
    """Why the images of a batch cannot be computed one by one.

    Attributes:
        where: the node.
        why: what it does.
    """

    where: str
    why: str


@dataclasses.dataclass(frozen=True)
class Batch:
    """Which axes count images.

    Attributes:
        inputs: by name, the axis of every input that has a place for each image. The other inputs are whole: the same
            for all images, or all of one sample.
        lines: by name, where the values of the graph have the images.
        spread: constants that hold the same for each image, by their node's name and the number of the input.
        size: how many images the model is made for, None if any.
        single: by name, the open axis of inputs of a model that works with one image only, whatever it declares.
        mixing: what speaks against a batch on a fixed first axis, where there could be one.
        symbols: names of the number of images.
    """

    inputs: dict[str, int]
    lines: dict[str, Line]
    spread: Spread
    size: int | None
    single: dict[str, int]
    mixing: Mixing | None
    symbols: frozenset[str]

    def of(self, model: ir.Model, images: int) -> ir.Model:
        """A copy of the model for so many images; its shapes are inferred."""
        axes, count = (self.single, 1) if self.single else (self.inputs, images)
        copy = with_images(model, axes, count, set(self.symbols))
        if self.size is not None and self.size != images:
            rewrite_targets(copy, self.lines, images)
            rewrite_constants(copy, self.spread, images)
        infer_shapes(copy)
        return copy


def find_batch(model: ir.Model) -> Batch:
    """Find the axes that count images, and prove it.

    An axis is one of images if the results of each image depend on that image only, whatever the number of images. That
    follows from what each operator computes; nodes whose operators have no rule are tried out on random data in ONNX
    Runtime. An open first axis must be one of images. A fixed one of 2 and more is one if that can be proved. A fixed 1
    is not looked at: such a model takes one image, and further images are further runs.

    Args:
        model: a normalized model; all dimensions that are open count images.

    Raises:
        UserError: the first axis of an input is open and counts no images, or the model was exported in training mode.
    """
    verify_inference(model)
    axes, symbols = open_axes(model)
    if axes:
        return _open(model, axes, symbols)
    mixing = None
    for guess, size in _guesses(model):
        batch = Batch(guess, {}, {}, size, {}, None, frozenset())
        try:
            return _proved(model, batch, [batch.of(model, size)], grown=False)
        except MixedError as error:
            mixing = mixing or Mixing(_named(error.node), error.why)
    return Batch({}, {}, {}, None, {}, mixing, frozenset())


def verify_inference(model: ir.Model) -> None:
    """Refuse a model that was exported in training mode.

    Raises:
        UserError: a node trains.
    """
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if trains(node):
            raise UserError(
                "the model was exported in training mode",
                where=_named(node),
                why="it takes its statistics from the batch"
                if node.op_type == "BatchNormalization"
                else "it drops values at random",
                fix="call model.eval() before exporting (training=TrainingMode.EVAL in torch.onnx.export)",
            )


def _open(model: ir.Model, axes: dict[str, int], symbols: frozenset[str]) -> Batch:
    """A model that declares any number of images."""
    first = unusual([model])
    counts = [first, unusual([model], [first])] if counts_images(model) else [first]
    batch = Batch(axes, {}, {}, None, {}, None, symbols)
    sized = [batch.of(model, count) for count in counts]
    try:
        return _proved(model, batch, sized, grown=True, counts=counts)
    except MixedError as error:
        problem = contradiction(sized[0])
        if problem is not None and contradiction(batch.of(model, 1)) is None:
            logger.info("the model declares any number of images, but works with one only: %s: %s", *problem)
            return dataclasses.replace(batch, inputs={}, single=axes)
        name = next(iter(axes))
        shape = next(dims(value) for value in model.graph.inputs if value.name == name)
        raise _no_batch(name, shape or (), _named(error.node), error.why) from error


def _no_batch(name: str, shape: Sequence[int | str | None], where: str, why: str) -> UserError:
    sizes = [size if isinstance(size, int) else "?" if size is None else size for size in shape]
    rest = "".join(f"x{size}" for size in sizes[1:])
    whole = f"give the whole shape of a sample (--shape {name}=64{rest}), or " if len(sizes) < 4 else "give "
    return UserError(
        f"the first axis of input {name!r} is no batch: its images cannot be computed one by one",
        where=where,
        why=f"{why}; the input has shape [{', '.join(map(str, sizes))}]",
        fix=f"{whole}--shape {name}=1{rest} if each image is to be computed by itself; otherwise export the model "
        "without this node",
    )


def _proved(
    model: ir.Model, batch: Batch, sized: Sequence[ir.Model], *, grown: bool, counts: Sequence[int] = ()
) -> Batch:
    """The batch with its lines.

    Raises:
        MixedError: it is none.
    """
    images = counts[0] if counts else batch.size or 1
    states, spread = _followed(sized[0], batch, images, grown=grown)
    if len(sized) > 1:
        verify_constants(sized[0], sized[1], (counts[0], counts[1]))
    lines = {str(value.name): line for value, line in states.items()}
    found = dataclasses.replace(batch, lines=lines, spread=spread)
    _verify_single(found.of(model, 1), sized[0], found.lines)
    return found


def _followed(sized: ir.Model, batch: Batch, images: int, *, grown: bool) -> tuple[dict[ir.Value, Line], Spread]:
    starts = {name: Line(axis) for name, axis in batch.inputs.items()}
    learned: dict[str, Sequence[State]] = {}
    while True:
        try:
            return follow(sized, starts, images, learned, grown=grown)
        except UnruledError as error:
            node = error.node
            if str(node.name) in learned or len(learned) == _MOST_TRIALS:
                raise MixedError(node, "what it does to the images of a batch is not known") from error
            learned[str(node.name)] = trial.learn(sized, node, batch.inputs, images)


def _verify_single(single: ir.Model, sized: ir.Model, lines: Mapping[str, Line]) -> None:
    """With one image every value must have the same shape, but for the axis of the images.

    Raises:
        MixedError: it has not; the model works for its own number of images only.
    """
    before = {value.name: value for node in sized.graph for value in node.outputs}
    for node in single.graph:
        for value in node.outputs:
            found = static_shape(value)
            wanted = static_shape(before.get(value.name))
            line = lines.get(str(value.name))
            if found is None or wanted is None:
                continue
            if line is not None:
                wanted = (*wanted[: line.axis], line.per, *wanted[line.axis + 1 :])
            if found != wanted:
                raise MixedError(node, f"with one image its result has shape {list(found)}, not {list(wanted)}")


def open_axes(model: ir.Model) -> tuple[dict[str, int], frozenset[str]]:
    """Axes of inputs that count images because they are open; and the names of that number."""
    shapes = {str(value.name): dims(value) or () for value in model.graph.inputs}
    axes: dict[str, int] = {}
    symbols: set[str] = set()
    for _ in range(2):  # an input may bear a name that a later one makes a number of images
        for name, shape in shapes.items():
            named = [axis for axis, size in enumerate(shape) if isinstance(size, str) and size in symbols]
            if name in axes or not (named or (len(shape) >= 2 and not isinstance(shape[0], int))):
                continue
            axes[name] = named[0] if named else 0
            symbols |= {size for size in shape[:1] if isinstance(size, str) and not named}
    return axes, frozenset(symbols)


def closed(model: ir.Model, shapes: Mapping[str, Sequence[int]]) -> ir.Model:
    """The model, or a copy in which the open dimensions that count no images have the sizes of arrays.

    Args:
        model: a normalized model.
        shapes: of an array for each input; the last sizes are those of the input.
    """
    axes, _ = open_axes(model)
    found: dict[str, list[int | str | None]] = {}
    for value in model.graph.inputs:
        name, wanted = str(value.name), dims(value) or ()
        given = (*[None] * len(wanted), *shapes[name])[-len(wanted) :] if wanted else ()
        found[name] = [
            size if isinstance(size, int) or place == axes.get(name) else given[place]
            for place, size in enumerate(wanted)
        ]
    if all(found[str(value.name)] == list(dims(value) or ()) for value in model.graph.inputs):
        return model
    copy = model.clone()
    for value in copy.graph.inputs:
        value.shape = ir.Shape(found[str(value.name)])
    forget_shapes(copy)
    infer_shapes(copy)
    return copy


def _guesses(model: ir.Model) -> Iterator[tuple[dict[str, int], int]]:
    """What may be the batch of a model whose sizes are all fixed: most inputs first."""
    shapes = {str(value.name): static_shape(value) or () for value in model.graph.inputs}
    for size in dict.fromkeys(shape[0] for shape in shapes.values() if len(shape) >= 2 and shape[0] > 1):
        fitting = [name for name, shape in shapes.items() if shape and shape[0] == size]
        groups = [fitting, [name for name in fitting if len(shapes[name]) >= 2], *([name] for name in fitting)]
        for group in dict.fromkeys(tuple(names) for names in groups if names):
            yield dict.fromkeys(group, 0), size


def _named(node: ir.Node) -> str:
    return f"node {node.name} ({node.op_type})"
