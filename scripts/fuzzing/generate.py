"""From a seed and a number to a case: files in a folder, and the commands that meet them."""

from __future__ import annotations

import random
import shutil
from importlib import resources
from pathlib import Path

import onnx

from scripts.fuzzing.byte_mutations import BYTE_MUTATIONS
from scripts.fuzzing.case import Case, Command
from scripts.fuzzing.corpus import Corpus, Seed
from scripts.fuzzing.field_mutations import INTEGERS, TEXTS, mutate_fields
from scripts.fuzzing.graph_mutations import GRAPH_MUTATIONS, change_values
from scripts.fuzzing.hostile_artifacts import HOSTILE_ARTIFACTS
from scripts.fuzzing.hostile_data import HOSTILE_DATA
from scripts.fuzzing.hostile_models import HOSTILE_MODELS

KINDS = {
    "model: bytes": 0.12,
    "model: any field": 0.17,
    "model: graph": 0.22,
    "model: values": 0.13,
    "model: bombs, nesting, outside files": 0.1,
    "data: npz, npy, images": 0.06,
    "artifact": 0.18,
    "profile": 0.02,
}
"""Kinds of mutation and their shares."""
_QUICK = ("--repeats", "2", "--warmup", "0", "--threads", "1")


def generate(corpus: Corpus, seed: int, number: int, folder: Path, *, as_process: bool) -> Case:
    """Make case ``number`` of a run.

    Args:
        corpus: sound models and artifacts.
        seed: of the run; the same seed and number give the same case.
        number: index.
        folder: empty; the case's files go there.
        as_process: whether its commands run as processes.
    """
    chance = random.Random(f"{seed}/{number}")
    kind = chance.choices(list(KINDS), list(KINDS.values()))[0]
    make = {"data": _data, "artifact": _artifact, "profile": _profile}.get(kind.partition(":")[0])
    what, commands = make(corpus, folder, chance) if make else _model(corpus, kind, folder, chance)
    if chance.random() < 0.5:
        commands = [Command((*command.arguments, "--json"), command.output) for command in commands]
    return Case(number, kind, what, tuple(commands), as_process)


def _model(corpus: Corpus, kind: str, folder: Path, chance: random.Random) -> tuple[str, list[Command]]:
    with_weights = [seed for seed in corpus.models if not seed.name.startswith("node_")]
    seed = chance.choice(with_weights if kind == "model: values" or chance.random() < 0.4 else corpus.models)
    shutil.copy(seed.samples, folder / "samples.npz")
    if kind == "model: bombs, nesting, outside files":
        what = chance.choice(HOSTILE_MODELS)(folder, chance)
        seed = Seed("hostile", b"", False, seed.samples)
    elif kind == "model: bytes":
        mutation = chance.choice(BYTE_MUTATIONS)
        what = mutation.__name__
        (folder / "model.onnx").write_bytes(mutation(seed.data, chance))
    else:
        model = onnx.load_from_string(seed.data)
        mutate = {"model: any field": mutate_fields, "model: values": change_values}.get(kind, _mutate_graph)
        what = mutate(model, chance)
        (folder / "model.onnx").write_bytes(model.SerializeToString())
    return f"{seed.name}: {what}", model_commands(chance, quantized=seed.quantized)


def _mutate_graph(model: onnx.ModelProto, chance: random.Random) -> str:
    done = []
    for mutation in chance.sample(GRAPH_MUTATIONS, chance.choice([1, 1, 1, 2])):
        if model.graph.node:
            done.append(f"{mutation.__name__}, {mutation(model, chance)}")
    return "; ".join(done)


def model_commands(chance: random.Random, *, quantized: bool) -> list[Command]:
    """What meets a model: one verb, or deployment and everything behind it."""
    verb = chance.choice(
        ["check", "check", "simplify", "quantize", "compile", "compile", "deploy", "deploy", "against"]
    )
    profile = "int8-8x8" if quantized or verb == "deploy" else "fp32-4x4"
    if verb == "check":
        return [Command(("check", "model.onnx", "--profile", chance.choice(["int8-8x8", "fp32-4x4"])))]
    if verb == "simplify":
        again = Command(("check", "out.onnx", "--profile", profile))
        return [Command(("simplify", "model.onnx", "--output", "out.onnx"), "out.onnx"), again]
    if verb == "quantize":
        arguments = ("quantize", "model.onnx", "--calibration", "samples.npz", "--output", "out.onnx")
        method = ("--method", chance.choice(["auto", "mse", "minmax", "percentile"]))
        build = Command(("compile", "out.onnx", "--output", "out"), "out")
        return [Command((*arguments, *method), "out.onnx"), build, *artifact_commands(chance)[:1]]
    if verb == "against":
        return [Command(("check", "model.onnx")), *_build("compile", profile), _bench("out", "model.onnx")]
    return [*_build(verb, profile), *artifact_commands(chance)]


def _build(verb: str, profile: str) -> list[Command]:
    arguments = (verb, "model.onnx", "--profile", profile, "--output", "out")
    return [Command(arguments if verb == "compile" else (*arguments, "--calibration", "samples.npz"), "out")]


def _bench(artifact: str, model: str) -> Command:
    return Command(("bench", artifact, "--model", model, "--device", "csim", *_QUICK))


def artifact_commands(chance: random.Random, artifact: str = "out") -> list[Command]:
    """What meets an artifact: verify, and now and then run or bench."""
    verify = Command(("verify", artifact, "--device", "csim", "--seed", str(chance.randrange(100))))
    device = chance.choice(["csim", "csim", "reference"])
    run = Command(("run", artifact, "--input", "samples.npz", "--output", "y.npz", "--device", device), "y.npz")
    bench = Command(("bench", artifact, *_QUICK))
    return (
        [verify, chance.choice([run, run, bench])] if chance.random() < 0.7 else [chance.choice([run, bench]), verify]
    )


def _data(corpus: Corpus, folder: Path, chance: random.Random) -> tuple[str, list[Command]]:
    mutation = chance.choice(HOSTILE_DATA)
    seed = corpus.models[0]
    name = mutation(folder, seed.samples.read_bytes(), chance)
    if chance.random() < 0.4:
        artifact, _ = corpus.artifacts[0]
        shutil.copytree(artifact, folder / "artifact")
        verb = chance.choice([("verify",), ("run", "--output", "y.npz"), ("bench", *_QUICK)])
        return f"{mutation.__name__} for {verb[0]}", [
            Command((verb[0], "artifact", "--input", name, *verb[1:]), "y.npz" if verb[0] == "run" else "")
        ]
    (folder / "model.onnx").write_bytes(seed.data)
    extra = chance.choice([(), (), ("--samples", "1"), ("--mean", "0.5", "--std", "0.25"), ("--scale", "1e30")])
    arguments = ("quantize", "model.onnx", "--calibration", name, "--output", "out.onnx", *extra)
    return f"{mutation.__name__} for quantize {' '.join(extra)}", [Command(arguments, "out.onnx")]


def _artifact(corpus: Corpus, folder: Path, chance: random.Random) -> tuple[str, list[Command]]:
    artifact, samples = chance.choice(corpus.artifacts)
    shutil.copytree(artifact, folder / "out")
    shutil.copy(samples, folder / "samples.npz")
    mutation = chance.choice(HOSTILE_ARTIFACTS)
    what = f"{artifact.name}: {mutation.__name__}, {mutation(folder / 'out', chance)}"
    return what, artifact_commands(chance)


def _profile(corpus: Corpus, folder: Path, chance: random.Random) -> tuple[str, list[Command]]:
    """A profile file with one value, or its bytes, changed."""
    profiles = resources.files("sliceflow.hardware") / "profiles"
    text = (profiles / f"{chance.choice(['int8-8x8', 'fp32-4x4'])}.toml").read_text()
    if chance.random() < 0.5:
        data = chance.choice(BYTE_MUTATIONS)(text.encode(), chance)
        what = "bytes"
    else:
        lines = text.splitlines()
        place = chance.choice([i for i, line in enumerate(lines) if "=" in line])
        value = chance.choice(
            [*map(str, INTEGERS), "nan", "inf", "'x'", "true", "[1]", "9" * 5000, "[" * 900 + "]" * 900]
        )
        value = chance.choice([value, '"' + chance.choice(TEXTS[:4]) + '"', '"a\\nb\\u0000"'])
        lines[place] = f"{lines[place].partition('=')[0]}= {value}"
        what, data = lines[place][:80], "\n".join(lines).encode()
    (folder / "profile.toml").write_bytes(data)
    seed = next(seed for seed in corpus.models if seed.quantized)
    (folder / "model.onnx").write_bytes(seed.data)
    verb = chance.choice([("check", ""), ("compile", "out")])
    extra = ("--output", "out") if verb[1] else ()
    return what, [Command((verb[0], "model.onnx", "--profile", "profile.toml", *extra), verb[1])]
