import { serveThread } from '../threads/serve.ts'
import { type MeasureJob, type Measured, measureFiles } from './measure-files.ts'
import { ScanError, type ScanFailure } from './scan-error.ts'

serveThread((job: MeasureJob): Measured[] | ScanFailure => {
  try {
    return measureFiles(job)
  } catch (error) {
    // Of what a thread throws, only the message and the like arrive.
    if (error instanceof ScanError) return error.failure
    throw error
  }
})
