/** Shown after a moment: what is there at once does not flicker. */
export function Loading({ label = "Loading" }: { readonly label?: string }) {
  return (
    <div className="loading" role="status">
      <span className="loading-dots" aria-hidden="true">
        <i />
        <i />
        <i />
      </span>
      {label}…
    </div>
  );
}
