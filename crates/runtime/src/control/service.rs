//! The loop that runs the control plane's machine over the ports.
