// The page shows who it is for the daemon, and from there on the programs.
const answer = await fetch("/v1/info", { headers: { accept: "application/json" } });
document.querySelector("#app").textContent = answer.ok ? `musterd ${(await answer.json()).version}` : "not logged in";
