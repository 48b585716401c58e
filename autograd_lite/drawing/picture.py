"""A Graphviz graph that renders itself by the `dot` program, or in this process by pygraphviz. Independent of nodes.

The only module that imports graphviz. `draw` imports this module when it is called.
"""

from __future__ import annotations

import os
import shutil
from html import escape
from pathlib import Path
from typing import Any

import graphviz

from autograd_lite.drawing.palette import EDGE_OF_FRAME
from autograd_lite.files import write_whole


class Picture(graphviz.Digraph):  # type: ignore[misc]
    """A `graphviz.Digraph`: it shows itself in a notebook, `.render()` and `.pipe()` give svg, png, pdf ..."""

    described = ""  # the picture in words
    page = ""  # a web page that a notebook shows in place of the picture

    def __repr__(self) -> str:
        return f"<{self.described}>" if self.described else super().__repr__()

    def pipe(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        format: str | None = None,  # noqa: A002
        *,
        encoding: str | None = None,
        **options: Any,
    ) -> Any:
        """The picture as bytes, or as a str if an `encoding` is given. Options as for `graphviz.Digraph.pipe`.

        An SVG carries the picture in words, for screen readers. A RuntimeError if Graphviz is not installed.
        """
        format = format or self.format  # noqa: A001
        picture = self._rendered(format, options)
        if format == "svg":
            words = escape(self.described).encode("ascii", "xmlcharrefreplace")
            picture = picture.replace(b"<svg ", b'<svg role="img" aria-label="' + words + b'" ', 1)
        return picture.decode(encoding) if encoding else picture

    def _rendered(self, format: str, options: dict[str, Any]) -> bytes:  # noqa: A002
        try:
            graphviz.parameters.verify_format(format)
        except ValueError:
            raise ValueError(f"unknown format: {format!r}; take svg, png, pdf or dot") from None
        if shutil.which("dot"):
            picture: bytes = super().pipe(format=format, **options)
            return picture
        try:
            from pygraphviz import AGraph
        except ImportError as error:
            raise RuntimeError(
                "no Graphviz to render with: pip install 'autograd-lite[render]', or put Graphviz's `dot` on the PATH; "
                "to_html needs none"
            ) from error
        engine = options.get("engine") or self.engine
        graphviz.parameters.verify_engine(engine)
        graph = AGraph(string=self.source)
        try:
            drawn: Any = graph.draw(format=format, prog=engine)
        finally:
            graph.close()
        return bytes(drawn)

    def _repr_mimebundle_(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, include: Any = None, exclude: Any = None, **_: Any
    ) -> dict[str, str]:
        """The forms that a notebook can show: the page if there is one, the picture as SVG, its text. Never raises."""
        bundle: dict[str, Any] = {"text/plain": self.described}
        if self.page:
            frame = f'style="width:100%;height:640px;border:1px solid {EDGE_OF_FRAME};border-radius:6px"'
            title = escape(self.described[:200])
            bundle["text/html"] = (
                f'<iframe sandbox="allow-scripts" title="{title}" srcdoc="{escape(self.page)}" {frame}></iframe>'
            )
        for mime, format in {"image/svg+xml": "svg", "image/png": "png"}.items():  # noqa: A001
            if mime in include if include else mime == "image/svg+xml":
                try:
                    bundle[mime] = self.pipe(format, encoding="utf-8" if format == "svg" else None)
                except Exception as error:  # a display hook must not fail: the notebook shows the words
                    bundle["text/plain"] = f"{self.described}\n(not rendered: {error})"
        return {k: v for k, v in bundle.items() if (not include or k in include) and k not in (exclude or ())}

    def render(  # pyright: ignore[reportIncompatibleMethodOverride]
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
        """Write the picture to `outfile`, or to `filename` + "." + `format`, and return its path.

        As `graphviz.Digraph.render`, except that it writes everything or nothing: if rendering fails, no file is
        written or changed. The DOT text is written beside the picture unless `cleanup`. Other options as for `pipe`.
        """
        if directory is not None:
            self.directory = os.fspath(directory)
        if outfile is not None:
            self.filename = os.fspath(filename or Path(outfile).with_suffix(".gv"))
            format = format or Path(outfile).suffix[1:].lower() or None  # noqa: A001
        elif filename is not None:
            self.filename = os.fspath(filename)
        picture = self.pipe(format, **options)
        target = Path(str(self.directory), outfile) if outfile else Path(f"{self.filepath}.{format or self.format}")
        if not cleanup:
            write_whole(Path(str(self.filepath)), self.source.encode(self.encoding), "render", make_folders=True)
        write_whole(target, picture, "render", make_folders=True)
        if view or quiet_view:
            self._view(target, format=format or self.format, quiet=quiet_view)
        return os.fspath(target)
