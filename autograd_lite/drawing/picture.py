"""A Graphviz graph that renders itself by the `dot` program, or in this process by pygraphviz. Knows nothing of nodes.

The only module that imports graphviz; it is itself imported only when something is drawn.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import graphviz


class Picture(graphviz.Digraph):  # type: ignore[misc]
    """A `graphviz.Digraph`: it shows itself in a notebook, `.render()` and `.pipe()` give svg, png, pdf ..."""

    def pipe(self, format: str | None = None, *, encoding: str | None = None, **options: Any) -> Any:  # noqa: A002
        """The picture as bytes, or as a str if an `encoding` is given. Options as for `graphviz.Digraph.pipe`.

        A RuntimeError if there is no Graphviz to render with.
        """
        if shutil.which("dot"):
            return super().pipe(format=format, encoding=encoding, **options)
        try:
            from pygraphviz import AGraph
        except ImportError as error:
            raise RuntimeError(
                "no Graphviz to render with: pip install 'autograd-lite[render]', or put Graphviz's `dot` on the PATH"
            ) from error
        format, engine = format or self.format, options.get("engine") or self.engine  # noqa: A001
        graphviz.parameters.verify_format(format)
        graphviz.parameters.verify_engine(engine)
        graph = AGraph(string=self.source)
        try:
            picture: bytes = graph.draw(format=format, prog=engine)
        finally:
            graph.close()
        return picture.decode(encoding) if encoding else picture

    def render(
        self,
        filename: str | os.PathLike[str] | None = None,
        directory: str | os.PathLike[str] | None = None,
        *,
        outfile: str | os.PathLike[str] | None = None,
        format: str | None = None,  # noqa: A002
        cleanup: bool = False,
        view: bool = False,
        quiet_view: bool = False,
        **options: Any,
    ) -> str:
        """Write the picture to `outfile`, or to `filename` + "." + `format`, and give its path.

        As `graphviz.Digraph.render`, but all or nothing: where rendering fails, no file is written or changed. The
        DOT text is written beside the picture unless `cleanup`. Other options as for `pipe`.
        """
        if directory is not None:
            self.directory = os.fspath(directory)
        if outfile is not None:
            self.filename = os.fspath(filename or Path(outfile).with_suffix(".gv"))
            format = format or Path(outfile).suffix[1:].lower() or None  # noqa: A001
        elif filename is not None:
            self.filename = os.fspath(filename)
        picture = self.pipe(format, **options)
        target = Path(self.directory, outfile) if outfile else Path(f"{self.filepath}.{format or self.format}")
        if not cleanup:
            _write(Path(self.filepath), self.source.encode(self.encoding))
        _write(target, picture)
        if view or quiet_view:
            self._view(target, format=format or self.format, quiet=quiet_view)
        return os.fspath(target)


def _write(path: Path, content: bytes) -> None:
    """Make `path` a file of `content`, at once: nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
