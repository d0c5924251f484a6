"""The Streamlit app: it reads studies through the tracker."""
