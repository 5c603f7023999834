"""Pages over :mod:`jobflow_remote.control`: what ``jf gui`` serves. Needs the extra ``gui``; nobody else imports it."""
