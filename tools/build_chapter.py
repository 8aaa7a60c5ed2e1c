"""Build one page of the book quickly: `make chapter CHAPTER=book/attention.md`.

The page is built beside the bibliography alone, into a folder of its own, so
several can be built at once. References to other chapters are then unknown; those
warnings are counted and left out. Anything else fails, as it would in the book.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOC = """\
format: jb-book
root: book/bibliography
parts:
  - caption: One chapter
    numbered: true
    chapters:
      - file: {page}
"""
# Not what the kernel logs about its own transport.
COMPLAINT = re.compile(r"^(?!\[IPKernelApp\]).*(WARNING|ERROR|rror:)")
ELSEWHERE = re.compile(
    r"undefined label|cross-reference target not found|unknown document"
    r"|equation not found|term not in glossary|Unknown source document",
    re.IGNORECASE,
)


def build(page: Path, output: Path) -> subprocess.CompletedProcess[str]:
    output.mkdir(parents=True, exist_ok=True)
    # Sphinx does not repeat the warnings of a page that it has read before.
    shutil.rmtree(output / "_build" / ".doctrees", ignore_errors=True)
    toc = output / "_toc.yml"
    toc.write_text(TOC.format(page=page.with_suffix("").as_posix()))
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    command = [str(jupyter_book), "build", str(ROOT)]
    command += ["--path-output", str(output), "--toc", str(toc), "-q"]
    return subprocess.run(command, capture_output=True, text=True)


def main() -> int:
    if len(sys.argv) != 2 or not (ROOT / sys.argv[1]).is_file():
        print("name a page: make chapter CHAPTER=book/attention.md", file=sys.stderr)
        return 2
    page = Path(sys.argv[1])
    output = ROOT / "_build" / "chapters" / page.stem
    built = build(page, output)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", built.stderr).splitlines()
    complaints = [line for line in lines if COMPLAINT.search(line)]
    elsewhere = [line for line in complaints if ELSEWHERE.search(line)]
    faults = [line for line in complaints if line not in elsewhere]
    if built.returncode or faults:
        print(built.stdout[-2000:], "\n".join(lines), sep="\n")
    for line in elsewhere:
        print("elsewhere:", line)
    html = output / "_build" / "html" / page.with_suffix(".html")
    if html.is_file():
        print(f"built: {html.relative_to(ROOT)}")
    print(f"{len(faults)} faults, {len(elsewhere)} references to other pages")
    return 1 if built.returncode or faults else 0


if __name__ == "__main__":
    sys.exit(main())
