import tseslint from 'typescript-eslint'

export default tseslint.config(
  { ignores: ['dist', 'coverage', 'node_modules'] },
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/consistent-type-imports': 'error',
      'no-console': 'error',
      'no-restricted-globals': ['error', 'process'],
      eqeqeq: 'error',
    },
  },
  {
    // The rim, and what runs outside the product, may touch the terminal.
    files: ['src/cli/**', 'test/**', 'bench/**', '*.config.ts'],
    rules: { 'no-console': 'off', 'no-restricted-globals': 'off' },
  },
  { files: ['src/config/**'], rules: { 'no-restricted-globals': 'off' } },
)
