"""A window that shows a video while it is looked at."""

from __future__ import annotations

from PIL import Image

from mirada.errors import MiradaError

_SIDE = 1280  # of the longer side of what is shown, at most


class Window:
    """A window with one picture; `closed` once the user has shut it."""

    def __init__(self, title: str) -> None:
        """Open it.

        Raises:
            MiradaError: there is no display, or Python has no Tk.
        """
        try:
            import tkinter

            from PIL import ImageTk

            self._root = tkinter.Tk()
        except (ImportError, RuntimeError) as error:
            raise MiradaError("show=true needs Python's tkinter, which is not installed: leave show=false.") from error
        except Exception as error:  # tkinter.TclError, which only its import knows
            raise MiradaError(f"show=true needs a display ({error}): leave show=false.") from error
        self.closed = False
        self._tk = ImageTk
        self._root.title(title)
        self._label = tkinter.Label(self._root)
        self._label.pack()
        self._root.protocol("WM_DELETE_WINDOW", self.close)

    def show(self, picture: Image.Image) -> None:
        """Put a picture into the window."""
        if self.closed:
            return
        small = picture.copy()
        small.thumbnail((_SIDE, _SIDE))
        self._photo = self._tk.PhotoImage(small)  # Tk keeps no reference of its own
        self._label.configure(image=self._photo)
        self._root.update()

    def close(self) -> None:
        """Shut it; what was shown goes on being looked at."""
        if not self.closed:
            self.closed = True
            self._root.destroy()
