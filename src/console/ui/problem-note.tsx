import type { Problem } from "../api/problem.ts";

export function ProblemNote({ problem }: { readonly problem: Problem }) {
  const { detail } = problem.facts;
  return (
    <div className="problem" role="alert">
      <strong>{capital(problem.message)}</strong>
      {typeof detail === "string" && <span className="break">{detail}</span>}
      {problem.hint && <span>{problem.hint}</span>}
      {problem.code && <code className="problem-code">{problem.code}</code>}
    </div>
  );
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
