"""The app with the headers that keep it to itself: `streamlit run serve.py`. What it shows is app.py."""

from starlette.middleware import Middleware
from streamlit.starlette import App

from ui.shell import early
from ui.shell.headers import OwnOriginOnly

early.begin()
app = App("app.py", middleware=[Middleware(OwnOriginOnly)])
