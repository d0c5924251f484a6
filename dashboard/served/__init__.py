"""What Streamlit runs, apart from dashboard/pages/: a folder of that name beside its script it takes for its own."""
