"""c2st draft"""
from __future__ import annotations
import numpy as np
from scipy.stats import rankdata
from shiftbench.distances.basis import folds_of_clusters, pooled_basis
from shiftbench.distances.samples import Samples
def scores(phi, Y, fold, lam):
    S = np.empty(Y.shape)
    for k in range(fold.max()+1):
        t = fold != k; v = ~t
        m = phi[t].mean(0); A = phi[t]-m
        G = A.T@A; G[np.diag_indices_from(G)] += lam*t.sum()
        B = np.linalg.solve(G, A.T@Y[t])
        S[v] = (phi[v]-m)@B
    return S
def aucs(S, Y, fold):
    S = np.round(S, 9)
    num=0;den=0
    for k in range(fold.max()+1):
        v = fold==k
        r = rankdata(S[v],axis=0); y=Y[v]
        m=y.sum(0); n=v.sum()-m
        num = num + ((r*y).sum(0)-m*(m+1)/2); den = den+m*n
    return np.divide(num,den,out=np.full(num.shape,0.5),where=den>0)
