"""What the pages share: look, session state, background jobs, the face scrubber. The only room that knows Streamlit."""
