"""What the same bytes every time cost: training in each arithmetic and without determinism.

    dvc repro && python benchmarks/determinism.py

Each turn trains the network of params.yaml for one epoch of --characters in a process of its own:
as the train stage does, portable and fast (`train.arithmetic`, op determinism, `train.threads`),
and with TensorFlow's own choice of kernels and threads. The median of the ratios within a turn
counts; the weights are compared as well. Where other programs run, --clock processor counts the
seconds that the process had the processors instead of those that passed.
"""

import argparse
import hashlib
import statistics
import subprocess
import sys
import time

import project  # noqa: F401 (finds what is imported below)
from vintraining.parameters import load

WAYS = ("as it comes", "fast", "portable")


def train(way: str, count: int, clock: str) -> None:
    """One epoch; prints its seconds and a hash of the weights."""
    from vintraining.model import network

    import keras
    from compare_training import one_epoch

    parameters = load()
    arithmetic = "fast" if way == "as it comes" else way
    how = parameters.train.model_copy(update={"arithmetic": arithmetic})
    if way == "as it comes":
        keras.utils.set_random_seed(parameters.seed)
    else:
        network.be_reproducible(parameters.seed, how)
    before = time.process_time()
    trained, _, seconds = one_epoch(count, parameters.model_copy(update={"train": how}))
    if clock == "processor":
        seconds = time.process_time() - before
    weights = hashlib.sha256(b"".join(weight.tobytes() for weight in trained.get_weights()))
    print(f"{seconds} {weights.hexdigest()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--characters", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    parser.add_argument("--way", choices=WAYS, help="run one training only, in this process")
    options = parser.parse_args()
    if options.way:
        return train(options.way, options.characters, options.clock)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    weights: dict[str, set[str]] = {way: set() for way in WAYS}
    for _ in range(options.turns):
        for way in WAYS:
            command = [sys.executable, __file__, "--characters", options.characters]
            command += ["--clock", options.clock, "--way", way]
            result = subprocess.run([*map(str, command)], capture_output=True, text=True)
            if result.returncode:
                sys.exit(result.stderr)
            taken, digest = result.stdout.split()[-2:]
            seconds[way].append(float(taken))
            weights[way].add(digest)
            print(f"{way}: {float(taken):.1f} s", flush=True)
    for way in WAYS:
        print(
            f"{way}: median {statistics.median(seconds[way]):.1f} s, "
            f"weights of {options.turns} trainings: "
            f"{'all the same' if len(weights[way]) == 1 else 'not the same'}"
        )
    for way in WAYS[1:]:
        ratios = [a / b for a, b in zip(seconds[way], seconds["as it comes"], strict=True)]
        print(f"{way} takes {statistics.median(ratios):.2f} times as long as it comes")


if __name__ == "__main__":
    main()
