"""A reader without shiftbench: loads every config of a benchmark with plain `datasets`.

Run as a script: ``python reader.py DIRECTORY``; prints what it found as JSON.
"""

import json
import os
import sys
from pathlib import Path

sys.modules["shiftbench"] = None  # a reader needs none of it, so an import must fail

import datasets  # noqa: E402
import yaml  # noqa: E402


def main(folder: str) -> None:
    datasets.disable_progress_bars()
    card = (Path(folder) / "README.md").read_text("utf-8").split("---\n")[1]
    found = {}
    for config in yaml.safe_load(card)["configs"]:
        name = config["config_name"]
        whole = datasets.load_dataset(folder, name)
        streamed = datasets.load_dataset(folder, name, streaming=True)
        found[name] = {}
        for split, rows in whole.items():
            a = rows[0] if len(rows) else None
            b = next(iter(streamed[split]), None)
            found[name][split] = {
                "rows": len(rows),
                "features": {k: str(v) for k, v in rows.features.items()},
                "same_features": rows.features == streamed[split].features,
                "same_first_row": repr_row(a) == repr_row(b),
                "image": type(a["image"]).__name__ if a and "image" in a else None,
            }
    print(json.dumps(found))


def repr_row(row):
    if row is None:
        return None
    return {k: v.tobytes() if hasattr(v, "tobytes") else v for k, v in row.items()}


if __name__ == "__main__":
    main(sys.argv[1])
    sys.stdout.flush()
    # Iterators over streams, which nobody ends, leave Arrow's threads at work, and on a busy
    # machine these now and then abort an interpreter that is closing down.
    os._exit(0)
