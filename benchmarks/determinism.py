"""What the same bytes every time cost: training with and without determinism, in turns.

    dvc repro && python benchmarks/determinism.py

Each turn trains the network of params.yaml for one epoch of --characters in a process of its own:
once as the train stage does (op determinism, `train.threads`), once with TensorFlow's own choice
of kernels and threads. The median of each counts; the weights are compared as well.
"""

import argparse
import hashlib
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "stages"))

from vintraining.parameters import load

WAYS = ("deterministic", "as it comes")


def train(way: str, count: int) -> None:
    """One epoch; prints its seconds and a hash of the weights."""
    from vintraining import network

    import keras
    from compare_training import one_epoch

    parameters = load()
    if way == "deterministic":
        network.be_reproducible(parameters.seed, parameters.train)
    else:
        keras.utils.set_random_seed(parameters.seed)
    trained, _, seconds = one_epoch(count, parameters)
    weights = hashlib.sha256(b"".join(weight.tobytes() for weight in trained.get_weights()))
    print(f"{seconds} {weights.hexdigest()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--characters", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help="run one training only, in this process")
    options = parser.parse_args()
    if options.way:
        return train(options.way, options.characters)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    weights: dict[str, set[str]] = {way: set() for way in WAYS}
    for _ in range(options.turns):
        for way in WAYS:
            command = [sys.executable, __file__, "--characters", options.characters, "--way", way]
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
    ratio = statistics.median(a / b for a, b in zip(*seconds.values(), strict=True))
    print(f"determinism takes {ratio:.2f} times as long")


if __name__ == "__main__":
    main()
