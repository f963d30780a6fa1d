import COpenBLAS

/// Sets how many threads OpenBLAS uses: one number for the whole process.
package enum BLASThreads {
    /// Holds from the next call of OpenBLAS on, on whatever thread. While several threads solve at a time it must be 1:
    /// OpenBLAS lets only one call at a time use more. It must not be called while another thread is within OpenBLAS.
    ///
    /// - Parameter count: 1 to 1,024.
    package static func set(_ count: Int) {
        precondition((1...1_024).contains(count), "unchecked number of threads")
        openblas_set_num_threads(Int32(count))
    }
}
