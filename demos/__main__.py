"""``python -m demos`` lists the demos."""

import ast
from pathlib import Path


def main():
    here = Path(__file__).parent
    for path in sorted([*here.glob("[a-z]*.py"), *here.glob("*/__main__.py")]):
        name = path.parent.name if path.name == "__main__.py" else path.stem
        summary = ast.get_docstring(ast.parse(path.read_text())).splitlines()[0]
        print(f"python -m demos.{name:16} {summary}")


if __name__ == "__main__":
    main()
