export function Logo() {
  return (
    <span className="logo">
      <svg viewBox="0 0 32 32" aria-hidden="true">
        <rect width="32" height="32" rx="8" />
        <path d="M9 11h14M9 11v9a3 3 0 0 0 3 3h8a3 3 0 0 0 3-3v-9M13 18.5h6" />
      </svg>
      storage-qos
    </span>
  );
}
