// Python, beside the page: it answers what `cnndsl.editing.desk` can be asked.
import { loadPyodide } from "pyodide";

const here = new URL("./", self.location.href).href;
const starting = (async () => {
  const fetched = fetch(`${here}python.zip`).then((answer) => answer.arrayBuffer());
  const python = await loadPyodide({ indexURL: here });
  python.unpackArchive(await fetched, "zip");
  return python.runPython("from cnndsl.editing.desk import Desk\nDesk().ask");
})();

onmessage = async ({ data: { id, question } }) => {
  try {
    const ask = await starting;
    postMessage({ id, answer: JSON.parse(ask(JSON.stringify(question))) });
  } catch (error) {
    // A fault of Python leaves it able to go on; any other does not.
    const lost = error?.constructor?.name !== "PythonError";
    postMessage({ id, error: String(error?.message ?? error), lost });
  }
};
