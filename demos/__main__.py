"""``python -m demos`` lists the demos."""

import ast
from pathlib import Path


def main():
    folder = Path(__file__).parent
    for path in sorted([*folder.glob("[a-z]*.py"), *folder.glob("*/__main__.py")]):
        name = path.parent.name if path.name == "__main__.py" else path.stem
        summary = ast.get_docstring(ast.parse(path.read_text())).splitlines()[0]
        print(f"python -m demos.{name:16} {summary}")


if __name__ == "__main__":
    main()
