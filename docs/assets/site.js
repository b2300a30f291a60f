// Wide tables scroll in boxes that the theme makes when a page is shown: let the keyboard reach them, too.
const reach = () => document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])").forEach((box) => { box.tabIndex = 0; });
new MutationObserver(reach).observe(document.body, { childList: true, subtree: true });
reach();
